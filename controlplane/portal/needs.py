"""What needs whoever looks, as rows of the overview: what, since when, and where one acts. Pure: rows in, rows out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext

from billing import attention as billing
from billing.budgets.models import Budget
from controlplane.operations.attention import OpenOperation
from controlplane.portal.figures import quantity_text
from controlplane.portal.spoken import spoken
from controlplane.portal.words import kind_text, look_of, word_text
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
    action: str = ""
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
        what=(
            gettext("%(kind)s waits for your approval")
            if may_approve
            else gettext("%(kind)s waits for an approval")
        )
        % {"kind": kind_text(operation.kind)},
        about=spoken(operation.approval_reason),
        since=operation.queued_at,
        link=reverse("portal:operation", args=[operation.pk]),
        action=gettext("Decide") if may_approve else gettext("Look"),
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
                what=gettext("%(kind)s failed") % {"kind": kind_text(trouble.failed["kind"])},
                about=trouble.failed["title"] or "",
                since=trouble.failed["at"],
                link=reverse("portal:operation", args=[trouble.failed["id"]]),
                action=gettext("See why"),
                slug=trouble.slug,
            )
        )
    elif trouble.halfway:
        found.append(
            Need(
                kind="failed",
                tone="bad",
                icon="circle-x",
                what=gettext("Stopped halfway"),
                about=gettext("Its last change was canceled; a retry or an update goes on from there."),
                since=trouble.updated_at,
                link=reverse("portal:tenant-operations", args=[trouble.slug]),
                action=gettext("Retry"),
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
                what=_capital(word_text(trouble.health)),
                about=trouble.health_detail,
                since=trouble.health_since,
                link=tenant,
                action=gettext("Look"),
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
                what=_capital(word_text(trouble.standing)),
                about=f"{trouble.standing_reason} {trouble.problem}".strip(),
                since=trouble.standing_since,
                link=reverse("portal:tenant-billing", args=[trouble.slug]),
                action=gettext("Look"),
                slug=trouble.slug,
            )
        )
    return found


def _budget(budget: Budget, top: Mapping[str, Any] | None, slugs: Mapping[UUID, str]) -> Need:
    slug = slugs.get(budget.tenant_id, "") if budget.tenant_id else ""
    own = f" --tenant {slug}" if slug else ""
    if top is None or budget.problem:
        what = gettext("Budget %(name)s cannot be evaluated") % {"name": budget.name}
        tone, about = "warn", spoken(budget.problem)
        since = budget.evaluated_at
    else:
        forecast = top["on"] == "forecast"
        tone = "bad" if top["percent"] >= _BAD and not forecast else "warn"
        what = gettext("Budget %(name)s: %(percent)s %% reached") % {
            "name": budget.name,
            "percent": quantity_text(top["percent"]),
        }
        about = (
            gettext("by the forecast for this month")
            if forecast
            else gettext("of this month's amount is spent")
        )
        since = top["at"]
    return Need(
        kind="budget",
        tone=tone,
        icon="chart-column",
        what=what,
        about=about,
        since=since,
        link=reverse("portal:tenant-budgets", args=[slug]) if slug else reverse("portal:budgets"),
        action=gettext("Look"),
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
            what=gettext("The close of %(name)s is held") % {"name": chore.label},
            about=gettext("Its figures drift: compare the draft with the usage, then let it go on.")
            if drifts
            else chore.detail,
            since=chore.at,
            link=reverse("portal:tenant-billing", args=[slug]) if slug else "",
            action=gettext("Look"),
            command=f'freehold invoices release {chore.label} {slug} --reason "..."' if drifts else "",
            slug=slug,
        )
    if chore.kind == billing.OVERDUE:
        return Need(
            kind="invoice",
            tone="bad",
            icon="receipt-text",
            what=gettext("Invoice %(number)s is overdue") % {"number": chore.label},
            about=gettext("Note its payment, or give it up."),
            since=chore.at,
            link=reverse("portal:invoice", args=[chore.ref]),
            action=gettext("Look"),
            slug=slug,
        )
    report = chore.kind == billing.REPORT
    return Need(
        kind="delivery",
        tone="warn",
        icon="inbox",
        what=(
            gettext("The report of %(name)s could not be written")
            if report
            else gettext("Not delivered: %(name)s")
        )
        % {"name": chore.label},
        about=chore.detail,
        since=chore.at,
        command="freehold reports schedules list" if report else "",
        slug=slug,
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
