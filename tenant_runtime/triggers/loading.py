"""The triggers of a manifest with the secrets that the environment holds for them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tenant_runtime.access.principals import user_id_valid
from tenant_runtime.agents.manifest import Manifest, TriggerEntry
from tenant_runtime.agents.report import Problem
from tenant_runtime.errors import SettingsInvalid
from tenant_runtime.settings import Reader
from tenant_runtime.triggers.signing import secret_problem
from tenant_runtime.triggers.template import template_problems


@dataclass(frozen=True)
class LoadedTrigger:
    """`secrets` is empty for an optional trigger whose secret is not set: it is there, and refuses everything."""

    entry: TriggerEntry
    secrets: tuple[str, ...] = field(repr=False)


def _secrets(entry: TriggerEntry, environ: Mapping[str, str], problems: list[Problem]) -> tuple[str, ...]:
    place = f"trigger {entry.name!r}"
    try:
        found = tuple((Reader(environ).secret(entry.secret) or "").split())
    except SettingsInvalid as invalid:
        problems.append(Problem("secret_missing", place, invalid.detail, "repair the variable"))
        return ()
    if not found and not entry.optional:
        todo = f"set {entry.secret} or {entry.secret}_FILE to a secret of Standard Webhooks (whsec_...)"
        problems.append(Problem("secret_missing", place, f"{entry.secret} is not set", todo))
    for secret in found:
        if reason := secret_problem(secret):
            todo = "make one of 32 random bytes as base64, with whsec_ before it"
            problems.append(Problem("secret_missing", place, f"{entry.secret} {reason}", todo))
    return found


def triggers_load(
    manifest: Manifest, agents: Collection[str], environ: Mapping[str, str], problems: list[Problem]
) -> dict[str, LoadedTrigger]:
    """By name; what does not fit is added to `problems`. `agents` are the names the manifest has."""
    loaded: dict[str, LoadedTrigger] = {}
    for entry in manifest.triggers:
        place = f"trigger {entry.name!r}"
        if entry.agent not in agents:
            todo = "name one of the manifest's agents"
            problems.append(Problem("trigger_misfit", place, f"there is no agent {entry.agent!r}", todo))
        if entry.owner is not None and not user_id_valid(entry.owner):
            todo = "name a user as keys and tokens may name one"
            problems.append(Problem("trigger_misfit", place, f"`owner` may not be {entry.owner!r}", todo))
        for text in template_problems(entry.input):
            todo = "write {{/name}} for a JSON pointer into the message, or {{}} for all of it"
            problems.append(
                Problem("trigger_misfit", place, f"`input` has braces without a pointer: {text!r}", todo)
            )
        loaded[entry.name] = LoadedTrigger(entry, _secrets(entry, environ, problems))
    return loaded
