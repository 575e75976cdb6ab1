"""Previews for a terminal."""

from controlplane.cli.previews.groups import Group, Grouped, cost_delta
from controlplane.cli.previews.model import ORDER, TenantPreview

_SHOWN = 12


def counts_text(group: Group) -> str:
    """`1 to replace, 3 to update`."""
    return ", ".join(f"{group.counts[op]} to {op}" for op in ORDER if group.counts[op]) or "no changes"


def tenants_text(tenants: tuple[TenantPreview, ...], shown: int = _SHOWN) -> str:
    names = ", ".join(each.slug for each in tenants[:shown])
    more = len(tenants) - shown
    return f"{names} and {more} more" if more > 0 else names


def delta_text(tenants: tuple[TenantPreview, ...]) -> str:
    """`12.50 -> 19.75 USD a month (+7.25)`; empty where nobody knows or nothing changes."""
    told = []
    for currency, (before, after) in sorted(cost_delta(tenants).items()):
        if before != after:
            told.append(f"{before} -> {after} {currency} a month ({after - before:+})")
    unknown = sum(each.cost_unknown for each in tenants)
    if unknown:
        told.append(f"{many_text(unknown, 'resource')} without a known price")
    return "; ".join(told)


def many_text(count: int, word: str) -> str:
    """`1 tenant`, `2 tenants`."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def preview_text(found: Grouped, *, changed_only: bool = False) -> str:
    lines: list[str] = []
    for group in found.groups:
        lines.append(f"{tenants_text(group.tenants)}: {counts_text(group)}")
        lines += [f"  {change.line()}" for change in group.changes]
        lines += [
            f"  {finding.outcome}: {finding.name}: {finding.message} [{finding.rule}]"
            for finding in group.findings
        ]
        cost = delta_text(group.tenants)
        lines += [f"  {cost}"] if cost else []
    if found.same and not changed_only:
        lines.append(f"{tenants_text(found.same)}: no changes")
    lines += [f"{each.slug}: no plan: {each.error}" for each in found.failed]
    return "\n".join(lines) or "No tenant's stack would change."
