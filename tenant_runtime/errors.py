"""Every error this deployable raises on purpose.

RuntimeFault                     base: code, title, HTTP status, detail
├── StartRefused                 the operator must act: the process does not start
│   ├── SettingsInvalid          an environment value is missing or malformed
│   ├── ManifestInvalid          agents.toml, an agent or a tool does not load
│   └── DatabaseUnready          migrations or the extension are missing
├── RequestRefused               the caller must act
│   ├── Unauthenticated          401
│   ├── Paused                   402
│   ├── NotFound                 404
│   ├── Conflict                 409
│   ├── TooLarge                 413
│   └── Invalid                  422
├── Unavailable                  503: try again, a part is down
└── AgentFault                   a run ends in `error` because of this
    ├── ToolDenied               not on the agent's allow-list
    ├── ToolArgumentsInvalid     arguments do not fit the tool's schema
    ├── ToolFailed               the tool raised or timed out
    └── ModelFailed              the model endpoint answered with an error
"""


class RuntimeFault(Exception):
    """`code` is stable and for programs; `detail` names the cause and the next step, for people."""

    code = "internal_error"
    title = "Internal error"
    status = 500

    def __init__(self, detail: str = "", *, code: str | None = None) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        if code is not None:
            self.code = code


class StartRefused(RuntimeFault):
    code, title = "start_refused", "The runtime does not start"


class SettingsInvalid(StartRefused):
    code, title = "settings_invalid", "A setting is missing or malformed"


class ManifestInvalid(StartRefused):
    """Carries every problem found, not only the first."""

    code, title = "manifest_invalid", "The agents manifest does not load"

    def __init__(self, manifest: str, problems: list[str]) -> None:
        super().__init__(f"{manifest}: " + "; ".join(problems))
        self.problems = problems


class DatabaseUnready(StartRefused):
    code, title = "database_unready", "The database is not ready"


class RequestRefused(RuntimeFault):
    code, title, status = "bad_request", "Bad request", 400


class Unauthenticated(RequestRefused):
    code, title, status = "unauthenticated", "A valid API key is required", 401


class Paused(RequestRefused):
    """No new work is taken, and repeating the request does not help: `hint` says what does."""

    code, title, status = "runs_paused", "New runs are paused", 402

    def __init__(self, detail: str = "", *, hint: str = "") -> None:
        super().__init__(detail)
        self.hint = hint


class NotFound(RequestRefused):
    code, title, status = "not_found", "Not found", 404


class Conflict(RequestRefused):
    code, title, status = "conflict", "Conflict", 409


class TooLarge(RequestRefused):
    code, title, status = "too_large", "The request body is too large", 413


class Invalid(RequestRefused):
    code, title, status = "invalid", "The request is not valid", 422


class Unavailable(RuntimeFault):
    code, title, status = "unavailable", "A needed part is unavailable", 503


class AgentFault(RuntimeFault):
    code, title = "agent_fault", "The agent failed"


class ToolDenied(AgentFault):
    code, title = "tool_denied", "The agent may not use this tool"


class ToolArgumentsInvalid(AgentFault):
    code, title = "tool_arguments_invalid", "The tool's arguments are not valid"


class ToolFailed(AgentFault):
    code, title = "tool_failed", "The tool failed"


class ModelFailed(AgentFault):
    code, title = "model_failed", "The model call failed"
