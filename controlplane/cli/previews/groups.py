"""Tenants whose stacks would change in the same way are one thing to review. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from controlplane.cli.previews.model import LOSING, ORDER, Change, Finding, TenantPreview


@dataclass(frozen=True)
class Group:
    """The same changes and findings for each of `tenants`, in the order in which they should be rolled out."""

    changes: tuple[Change, ...]
    findings: tuple[Finding, ...]
    tenants: tuple[TenantPreview, ...]

    @property
    def counts(self) -> dict[str, int]:
        return {op: sum(1 for change in self.changes if change.op == op) for op in ORDER}

    @property
    def loses(self) -> bool:
        return any(change.op in LOSING for change in self.changes)

    @property
    def denied(self) -> bool:
        return any(finding.outcome == "denied" for finding in self.findings)


@dataclass(frozen=True)
class Grouped:
    """`groups`: what changes something, the worst first. `same`: nothing would change. `failed`: no plan."""

    groups: tuple[Group, ...]
    same: tuple[TenantPreview, ...]
    failed: tuple[TenantPreview, ...]

    @property
    def changing(self) -> tuple[TenantPreview, ...]:
        """Whoever would change, in the order of a rollout."""
        return rollout_order(each for group in self.groups for each in group.tenants)

    @property
    def tenants(self) -> tuple[TenantPreview, ...]:
        return (*self.changing, *self.same, *self.failed)


def grouped(previews: Iterable[TenantPreview]) -> Grouped:
    """Deletions before replacements before updates, then the largest group; within one, production last."""
    everything = list(previews)
    planned = [each for each in everything if not each.error]
    by_diff: dict[tuple[tuple[Change, ...], tuple[Finding, ...]], list[TenantPreview]] = {}
    for each in planned:
        if each.changes or each.denied:
            by_diff.setdefault((each.changes, each.findings), []).append(each)
    groups = [
        Group(changes, findings, rollout_order(tenants)) for (changes, findings), tenants in by_diff.items()
    ]
    groups.sort(key=_weight)
    return Grouped(
        groups=tuple(groups),
        same=rollout_order([each for each in planned if not each.changes and not each.denied]),
        failed=rollout_order([each for each in everything if each.error]),
    )


def rollout_order(tenants: Iterable[TenantPreview]) -> tuple[TenantPreview, ...]:
    return tuple(sorted(tenants, key=lambda each: (each.production, each.slug)))


def cost_delta(tenants: Sequence[TenantPreview]) -> dict[str, tuple[Decimal, Decimal]]:
    """Currency -> (before, after) a month, over those whose cost is known at all."""
    sums: dict[str, tuple[Decimal, Decimal]] = {}
    for each in tenants:
        if each.cost_before is not None and each.cost_after is not None:
            before, after = sums.get(each.currency, (Decimal(0), Decimal(0)))
            sums[each.currency] = (before + each.cost_before, after + each.cost_after)
    return sums


def _weight(group: Group) -> tuple[object, ...]:
    losses = [-group.counts[op] for op in ORDER]
    return (
        not group.denied,
        [count == 0 for count in losses],
        -len(group.tenants),
        losses,
        group.tenants[0].slug,
    )
