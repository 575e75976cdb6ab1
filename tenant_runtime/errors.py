"""Every error this deployable raises on purpose.

RuntimeFault                     base: code, title, HTTP status, detail
├── StartRefused                 the operator must act: the process does not start
│   ├── SettingsInvalid          an environment value is missing or malformed
│   ├── ManifestInvalid          agents.toml, an agent or a tool does not load
│   └── DatabaseUnready          migrations or the extension are missing
├── RequestRefused               the caller must act
│   ├── Unauthenticated          401
│   ├── Paused                   402
│   ├── Forbidden                403
│   ├── NotFound                 404
│   ├── Conflict                 409
│   ├── TooLarge                 413
│   └── Invalid                  422
├── Unavailable                  503: try again, a part is down
├── StateRefused                 500: a stored row is not what this runtime wrote; the operator must look
├── LeaseLost                    nobody must act: another worker has the run, this one stops and writes nothing
└── AgentFault                   a run ends in `error` because of this
    ├── ToolDenied               not on the agent's allow-list
    ├── ToolArgumentsInvalid     arguments do not fit the tool's schema
    ├── ToolFailed               the tool raised or timed out
    ├── StepOutsideGraph         a model or a tool was called where no step can be recorded
    └── ModelFailed              the model endpoint answered with an error
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenant_runtime.agents.report import Report


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
    """Carries the report of every problem found, not only the first."""

    code, title = "manifest_invalid", "The agents manifest does not load"

    def __init__(self, report: "Report") -> None:
        super().__init__(f"{report.manifest}: " + "; ".join(str(problem) for problem in report.problems))
        self.report = report
        self.problems = report.problems


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


class Forbidden(RequestRefused):
    """The key is good and its role may not do this."""

    code, title, status = "forbidden", "The role may not do this", 403


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


class StateRefused(RuntimeFault):
    """What lies in the database under a thread was not written by this runtime at that place. Nothing of it is used."""

    code, title = "stored_state_refused", "Stored state is refused"


class LeaseLost(RuntimeFault):
    code, title = "lease_lost", "Another worker has the run"


class AgentFault(RuntimeFault):
    code, title = "agent_fault", "The agent failed"


class ToolDenied(AgentFault):
    code, title = "tool_denied", "The agent may not use this tool"


class ToolArgumentsInvalid(AgentFault):
    code, title = "tool_arguments_invalid", "The tool's arguments are not valid"


class ToolFailed(AgentFault):
    code, title = "tool_failed", "The tool failed"


class StepOutsideGraph(AgentFault):
    code, title = "step_outside_graph", "A call was made outside of the agent's graph"


class ModelFailed(AgentFault):
    code, title = "model_failed", "The model call failed"
