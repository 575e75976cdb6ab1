"""Why a run of an agent ended badly, and what to do next, by the runtime's code."""

from typing import Final

from controlplane.portal.spoken import spoken

#: code -> (cause, next step)
_CAUSES: Final[dict[str, tuple[str, str]]] = {
    "worker_lost": (
        "Several workers in a row ended, or blocked for longer than their lease, while they executed it.",
        "Look into the runtime's logs for a crash, a lack of memory or blocking code. The thread is kept as of its "
        "last finished step: a new run goes on from there.",
    ),
    "run_timeout": (
        "It took longer than its agent's limits.timeout_s.",
        "The longest bar of its trace says where the time went. Raise the limit in agents.toml, or shorten that step.",
    ),
    "step_limit": (
        "It took more steps than its agent's limits.steps.",
        "The agent may go round in circles: its trace says which steps repeat. Raise the limit in agents.toml "
        "if it needs that many.",
    ),
    "agent_gone": (
        "This version of the runtime no longer serves the agent.",
        "Put the agent back into agents.toml, or begin anew with one that is served.",
    ),
    "model_failed": (
        "The model's endpoint did not answer, or refused.",
        "Check MODEL_BASE_URL, its key and its quota, then start the run again.",
    ),
    "stored_state_refused": (
        "What is stored of the thread is not what the runtime wrote.",
        "Treat it as tampering until you know better: read the runtime's audit log before anything else.",
    ),
    "tool_denied": (
        "The agent called a tool that its entry does not name.",
        "Add the tool to the agent's entry in agents.toml, if it may have it.",
    ),
    "tool_timeout": (
        "A tool did not answer in time, so nobody knows whether it took effect.",
        "Check on the tool's side, then go on with the thread: the runtime asks what became of the call.",
    ),
    "start_refused": ("The runtime refused to begin it.", "Read the runtime's log for the reason."),
}
_OTHER: Final = (
    "The agent's own code, or a tool of it, raised this error.",
    "Look at the last calls in its trace. The message is part of its content, for those who may read that.",
)
#: Every cause and step there is.
RUN_CAUSES: Final = (*_CAUSES.values(), _OTHER)


def run_cause(code: str) -> tuple[str, str]:
    cause, step = _CAUSES.get(code, _OTHER)
    return spoken(cause), spoken(step)
