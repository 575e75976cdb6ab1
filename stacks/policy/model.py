"""What a rule is given and what it answers."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from contracts.planned import PlannedResource, Severity
from contracts.stack import StackSpec


@dataclass(frozen=True)
class Planned:
    """A plan as rules see it: what the tenant may have (`spec`), and every resource with its inputs."""

    spec: StackSpec
    resources: tuple[PlannedResource, ...]

    def wanted(self, *types: str) -> Iterator[PlannedResource]:
        """Resources that will exist after the apply; of these types (whole names, or beginnings such as
        `kubernetes:`), or all."""
        for resource in self.resources:
            if resource.after is None or resource.op == "delete":
                continue
            if not types or resource.type.startswith(types):
                yield resource


@dataclass(frozen=True)
class Violation:
    """`undecided`: what the rule looks at is known only after the apply. It is told, and denies nothing."""

    resource: PlannedResource
    message: str
    undecided: bool = False


Check = Callable[[Planned], Iterable[Violation]]


@dataclass(frozen=True)
class Rule:
    """A name that exceptions refer to, what a violation means, a sentence about it, and the check itself."""

    name: str
    severity: Severity
    about: str
    check: Check


def rule(name: str, severity: Severity) -> Callable[[Check], Rule]:
    """Makes a function over a plan a rule; its docstring is what operators read of it."""

    def make(check: Check) -> Rule:
        about = " ".join((check.__doc__ or "").split())
        if not about:
            raise ValueError(f"the rule {name} says nothing of itself: give {check.__name__} a docstring")
        return Rule(name=name, severity=severity, about=about, check=check)

    return make
