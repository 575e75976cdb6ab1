"""A stack's destruction: protection off first where the target wants it, then destroy, sweep, and destroy again."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pulumi import automation as auto

from contracts.stack import StackSpec
from embedded.crashpoints import crash_point
from stacks.sweeps import SWEEPS
from stacks.targets import TEARDOWNS

#: A cluster's controllers and AWS itself let go of things minutes after they were told to.
ATTEMPTS = 3

#: Type -> (input, its value while what it holds is protected).
PROTECTED: Final[dict[str, tuple[str, bool]]] = {
    "aws:rds/instance:Instance": ("deletionProtection", True),
    "aws:eks/cluster:Cluster": ("deletionProtection", True),
    "aws:s3/bucket:Bucket": ("forceDestroy", False),
}

StackOf = Callable[[StackSpec], auto.Stack]
OnEvent = Callable[[auto.EngineEvent], None]
Tell = Callable[[str], None]
Resources = Callable[[], Sequence[Mapping[str, Any]]]


def stack_destroy(
    spec: StackSpec,
    *,
    stack_of: StackOf,
    resources_of: Resources,
    on_event: OnEvent,
    tell: Tell,
    canceled: Callable[[], bool],
    refresh: bool,
) -> auto.DestroyResult:
    """Destroys the stack. The engine's error of the last attempt is raised when it could not be.

    `stack_of` binds the stack to a spec's program, `resources_of` reads its exported state; `tell` gets a sentence on
    what was done beside the engine.
    """
    sweep = SWEEPS.get(spec.target)
    _unprotect(spec, stack_of=stack_of, resources_of=resources_of, on_event=on_event, tell=tell)
    stack = stack_of(spec)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            done = stack.destroy(on_event=on_event, color="never", refresh=refresh)
            break
        except auto.CommandError:
            if sweep is None or attempt == ATTEMPTS or canceled():
                raise
            removed = sweep(spec)
            tell(
                f"Attempt {attempt} of {ATTEMPTS} left something behind. "
                + (
                    f"Removed what controllers had left: {', '.join(removed)}."
                    if removed
                    else "Trying again."
                )
            )
    if sweep is not None and (removed := sweep(spec)):
        tell(f"Removed what controllers had left: {', '.join(removed)}.")
    return done


def _unprotect(
    spec: StackSpec, *, stack_of: StackOf, resources_of: Resources, on_event: OnEvent, tell: Tell
) -> None:
    """Only what is protected and still there: a whole `up` would build anew what an earlier attempt destroyed."""
    unprotected = TEARDOWNS.get(spec.target)
    if unprotected is None:
        return
    protected = protected_urns(resources_of())
    if not protected:
        return
    tell(f"Taking deletion protection off {len(protected)} resources before the stack is destroyed.")
    stack_of(unprotected(spec)).up(on_event=on_event, color="never", target=protected)
    crash_point("runner.unprotected")


def protected_urns(resources: Sequence[Mapping[str, Any]]) -> list[str]:
    """Resources of an exported state that their service would refuse to delete."""
    found = []
    for resource in resources:
        name, value = PROTECTED.get(str(resource.get("type")), ("", True))
        if name and bool(resource.get("inputs", {}).get(name, False)) is value:
            found.append(str(resource["urn"]))
    return found
