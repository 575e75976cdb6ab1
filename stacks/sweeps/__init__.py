"""What a destroyed stack leaves behind that no program made: found by the tenant's tag and removed, target by target.

Controllers of a cluster make interfaces, volumes and balancers of their own; when the cluster goes first, nobody
removes them, and the network they lie in cannot go (facts of EKS; docs/guides/cloud-targets.md).
"""

from collections.abc import Callable
from typing import Final

from contracts.stack import StackSpec
from stacks.sweeps.aws import aws_sweep

#: What was removed, one sentence each.
Sweep = Callable[[StackSpec], list[str]]

#: Target -> its sweep. On the others nothing makes what the program does not know of.
SWEEPS: Final[dict[str, Sweep]] = {"aws": aws_sweep}
