"""Target programs: each wires components into one tenant's stack and exports StackOutputs.

A program is a pure function of its spec: no environment, no network, no `invoke`, names known beforehand.
"""

import importlib
from collections.abc import Callable
from typing import Final

from contracts.stack import StackSecrets, StackSpec
from stacks.errors import TargetUnknown

Program = Callable[[], None]

#: Target -> its module, which has `program(spec, secrets)`. Imported when asked for: each pulls in an SDK.
TARGETS: Final[dict[str, str]] = {
    "local": "stacks.targets.local",
}


def target_program(spec: StackSpec, secrets: StackSecrets) -> Program:
    """The inline program for the spec's target. TargetUnknown when there is none of that name."""
    module = TARGETS.get(spec.target)
    if module is None:
        raise TargetUnknown(f"no target is called {spec.target!r}: choose one of {', '.join(TARGETS)}")
    program: Program = importlib.import_module(module).program(spec, secrets)
    return program
