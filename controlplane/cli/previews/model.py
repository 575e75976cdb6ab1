"""A tenant's plan as a reviewer needs it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from contracts.labels import is_production

#: What loses something comes first.
ORDER = ("delete", "replace", "update", "create")
SIGNS = {"create": "+", "update": "~", "replace": "±", "delete": "-"}
LOSING = ("delete", "replace")


@dataclass(frozen=True, order=True)
class Change:
    """One resource that would not stay the same. In `name` the tenant's slug is `TENANT`, so that the same change of
    two tenants is equal."""

    rank: int
    op: str
    type: str
    name: str
    paths: tuple[str, ...]

    def line(self) -> str:
        paths = f" [{', '.join(self.paths)}]" if self.paths else ""
        return f"{SIGNS[self.op]} {self.type} {self.name}{paths}"


@dataclass(frozen=True, order=True)
class Finding:
    """What a policy rule said. `outcome`: denied, warning, undecided or accepted."""

    outcome: str
    rule: str
    name: str
    message: str


@dataclass(frozen=True)
class TenantPreview:
    """`error` is why there is no plan; everything else is empty then."""

    slug: str
    production: bool
    changes: tuple[Change, ...] = ()
    findings: tuple[Finding, ...] = ()
    cost_before: Decimal | None = None
    cost_after: Decimal | None = None
    currency: str = ""
    cost_unknown: int = 0
    error: str = ""

    @property
    def denied(self) -> bool:
        return any(finding.outcome == "denied" for finding in self.findings)

    def losing(self, allowed: tuple[str, ...] = ()) -> list[Change]:
        """Replaced and deleted resources that nobody allowed by a name or a pattern of names."""
        return [
            change
            for change in self.changes
            if change.op in LOSING and not any(fnmatchcase(change.name, pattern) for pattern in allowed)
        ]


def tenant_preview(tenant: Mapping[str, Any], plan: Mapping[str, Any]) -> TenantPreview:
    """From GET /tenants/{slug} and GET /operations/{id}/plan."""
    slug = str(tenant["slug"])
    changes = sorted(
        Change(
            rank=ORDER.index(row["op"]),
            op=row["op"],
            type=row["type"],
            name=_common(row["name"], slug),
            paths=tuple(sorted(diff["path"] for diff in row["diffs"])),
        )
        for row in plan["resources"]
        if row["op"] in ORDER
    )
    cost = plan["cost"]
    return TenantPreview(
        slug=slug,
        production=is_production(tenant["labels"]),
        changes=tuple(dict.fromkeys(changes)),
        findings=tuple(sorted({_finding(row, slug) for row in plan["policy"]["findings"]})),
        cost_before=_decimal(cost["monthly_before"]),
        cost_after=_decimal(cost["monthly_after"]),
        currency=str(cost["currency"]),
        cost_unknown=int(cost["unknown"]),
    )


def _common(name: str, slug: str) -> str:
    """Whole words only: a tenant called `db` is not every `db` within a word."""
    return re.sub(rf"(?<![a-z0-9]){re.escape(slug)}(?![a-z0-9])", "TENANT", name)


def _finding(row: Mapping[str, Any], slug: str) -> Finding:
    outcome = "accepted" if row["exception"] else "undecided" if row["undecided"] else row["severity"]
    return Finding(
        outcome={"deny": "denied", "warn": "warning"}.get(outcome, outcome),
        rule=row["rule"],
        name=_common(row["name"], slug),
        message=row["message"],
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
