"""What needs whoever looks, as rows of the overview: what, since when, and where one acts. Pure: rows in, rows out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.urls import reverse

from billing import attention as billing
from billing.budgets.models import Budget
from controlplane.operations.attention import OpenOperation
from controlplane.portal.figures import quantity_text
from controlplane.portal.words import KIND_TITLES, look_of, word_text
from controlplane.tenants.attention import Trouble

#: Where a row stands: what only a person can move on comes before what is broken, and that before what is owed.
_ORDER: Final = ("approval", "failed", "health", "standing", "budget", "close", "invoice", "delivery")
_BAD: Final = Decimal(100)


@dataclass(frozen=True)
class Need:
    """`link` is empty where no page acts on it; then `command` does."""

    kind: str
    tone: str
    icon: str
    what: str
    about: str
    since: datetime | None
    link: str = ""
    action: str = "Look"
    command: str = ""
    slug: str = ""


def needs_of(
    *,
    waiting: Iterable[OpenOperation],
    troubles: Iterable[Trouble],
    budgets: Sequence[tuple[Budget, Mapping[str, Any] | None]],
    chores: Sequence[billing.Chore],
    slugs: Mapping[UUID, str],
    may_approve: bool,
) -> list[Need]:
    found = [_approval(each, may_approve) for each in waiting]
    for trouble in troubles:
        found += _troubles(trouble)
    found += [_budget(budget, top, slugs) for budget, top in budgets]
    found += [_chore(chore, slugs) for chore in chores]
    return sorted(found, key=lambda need: (_ORDER.index(need.kind), need.tone != "bad"))


def _approval(operation: OpenOperation, may_approve: bool) -> Need:
    look = look_of("operation", operation.state)
    return Need(
        kind="approval",
        tone=look.tone,
        icon=look.icon,
        what=f"{_kind(operation.kind)} waits for {'your' if may_approve else 'an'} approval",
        about=operation.approval_reason,
        since=operation.queued_at,
        link=reverse("portal:operation", args=[operation.pk]),
        action="Decide" if may_approve else "Look",
        slug=operation.slug,
    )


def _troubles(trouble: Trouble) -> list[Need]:
    tenant = reverse("portal:tenant", args=[trouble.slug])
    found = []
    if trouble.failed:
        found.append(
            Need(
                kind="failed",
                tone="bad",
                icon="circle-x",
                what=f"{_kind(trouble.failed['kind'])} failed",
                about=trouble.failed["title"] or "",
                since=trouble.failed["at"],
                link=reverse("portal:operation", args=[trouble.failed["id"]]),
                action="See why",
                slug=trouble.slug,
            )
        )
    elif trouble.halfway:
        found.append(
            Need(
                kind="failed",
                tone="bad",
                icon="circle-x",
                what="Stopped halfway",
                about="Its last change was canceled; a retry or an update goes on from there.",
                since=trouble.updated_at,
                link=reverse("portal:tenant-operations", args=[trouble.slug]),
                action="Retry",
                slug=trouble.slug,
            )
        )
    if trouble.health:
        look = look_of("health", trouble.health)
        found.append(
            Need(
                kind="health",
                tone=look.tone,
                icon=look.icon,
                what=trouble.health.capitalize(),
                about=trouble.health_detail,
                since=trouble.health_since,
                link=tenant,
                slug=trouble.slug,
            )
        )
    if trouble.standing:
        look = look_of("billing", trouble.standing)
        found.append(
            Need(
                kind="standing",
                tone=look.tone,
                icon=look.icon,
                what=word_text(trouble.standing).capitalize(),
                about=f"{trouble.standing_reason} {trouble.problem}".strip(),
                since=trouble.standing_since,
                link=reverse("portal:tenant-billing", args=[trouble.slug]),
                slug=trouble.slug,
            )
        )
    return found


def _budget(budget: Budget, top: Mapping[str, Any] | None, slugs: Mapping[UUID, str]) -> Need:
    slug = slugs.get(budget.tenant_id, "") if budget.tenant_id else ""
    own = f" --tenant {slug}" if slug else ""
    if top is None or budget.problem:
        tone, what, about = "warn", f"Budget {budget.name} cannot be evaluated", budget.problem
        since = budget.evaluated_at
    else:
        forecast = top["on"] == "forecast"
        tone = "bad" if top["percent"] >= _BAD and not forecast else "warn"
        what = f"Budget {budget.name}: {quantity_text(top['percent'])} % reached"
        about = "by the forecast for this month" if forecast else "of this month's amount is spent"
        since = top["at"]
    return Need(
        kind="budget",
        tone=tone,
        icon="chart-column",
        what=what,
        about=about,
        since=since,
        link=reverse("portal:tenant-budgets", args=[slug]) if slug else reverse("portal:budgets"),
        command=f"freehold budgets list{own}",
        slug=slug,
    )


def _chore(chore: billing.Chore, slugs: Mapping[UUID, str]) -> Need:
    slug = slugs.get(chore.tenant_id, "") if chore.tenant_id else ""
    if chore.kind == billing.HELD:
        drifts = chore.detail == "drift"
        return Need(
            kind="close",
            tone="warn",
            icon="circle-pause",
            what=f"The close of {chore.label} is held",
            about="Its figures drift: compare the draft with the usage, then let it go on."
            if drifts
            else chore.detail,
            since=chore.at,
            link=reverse("portal:tenant-billing", args=[slug]) if slug else "",
            command=f'freehold invoices release {chore.label} {slug} --reason "..."' if drifts else "",
            slug=slug,
        )
    if chore.kind == billing.OVERDUE:
        return Need(
            kind="invoice",
            tone="bad",
            icon="receipt-text",
            what=f"Invoice {chore.label} is overdue",
            about="Note its payment, or give it up.",
            since=chore.at,
            link=reverse("portal:invoice", args=[chore.ref]),
            slug=slug,
        )
    report = chore.kind == billing.REPORT
    return Need(
        kind="delivery",
        tone="warn",
        icon="inbox",
        what=f"The report of {chore.label} could not be written"
        if report
        else f"Not delivered: {chore.label}",
        about=chore.detail,
        since=chore.at,
        command="freehold reports schedules list" if report else "",
        slug=slug,
    )


def _kind(kind: str) -> str:
    return KIND_TITLES.get(kind, word_text(kind).capitalize())
