"""Target programs: each wires components into one tenant's stack and exports StackOutputs.

A program is a pure function of its spec: no environment, no network, no `invoke`, names known beforehand.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from contracts.stack import Existing, StackSecrets, StackSpec
from stacks.errors import TargetUnknown

Program = Callable[[], None]

#: Target -> its module, which has `program(spec, secrets)`. Imported when asked for: each pulls in an SDK.
TARGETS: Final[dict[str, str]] = {
    "local": "stacks.targets.local",
    "kubernetes": "stacks.targets.kubernetes",
    "aws": "stacks.targets.aws",
}


def _aws_teardown(spec: StackSpec) -> StackSpec:
    """AWS refuses to delete what is protected."""
    return spec.model_copy(update={"teardown": True})


#: Target -> the spec by which protection is taken off before its stack is destroyed; the others have none.
TEARDOWNS: Final[dict[str, Callable[[StackSpec], StackSpec]]] = {"aws": _aws_teardown}


def target_program(spec: StackSpec, secrets: StackSecrets) -> Program:
    """The inline program for the spec's target. TargetUnknown when there is none of that name."""
    program: Program = _module(spec).program(spec, secrets)
    return program


def target_existing(spec: StackSpec, resources: Sequence[Mapping[str, Any]]) -> Existing:
    """What of the stack costs now, by the resources of its exported state."""
    existing: Existing = _module(spec).existing(resources)
    return existing


def _module(spec: StackSpec) -> Any:
    module = TARGETS.get(spec.target)
    if module is None:
        raise TargetUnknown(f"no target is called {spec.target!r}: choose one of {', '.join(TARGETS)}")
    return importlib.import_module(module)
