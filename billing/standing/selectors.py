"""Reads of the standing."""

from collections.abc import Iterable
from typing import TypedDict
from uuid import UUID

from billing.standing import states
from billing.standing.models import Standing, StandingCause, StandingChange
from controlplane.core.clock import moment_text


class StandingCauseAnswer(TypedDict):
    source: str
    standing: str
    reason: str
    actions: list[str]
    since: str


class StandingChangeAnswer(TypedDict):
    at: str
    before: str
    after: str
    reason: str
    actions: list[str]
    actor: str


class StandingAnswer(TypedDict):
    """`since` is null for a tenant that was always current. `history`: the newest change first, at most 100."""

    standing: str
    reason: str
    actions: list[str]
    since: str | None
    causes: list[StandingCauseAnswer]
    history: list[StandingChangeAnswer]


def standing_of(*, tenant_id: UUID, history: int = 100) -> StandingAnswer:
    """`history`: how many changes at most; without any they are not asked for."""
    row = Standing.objects.filter(pk=tenant_id).first()
    causes = StandingCause.objects.filter(tenant_id=tenant_id).order_by("since", "pk")
    changes = StandingChange.objects.filter(tenant_id=tenant_id).order_by("-version")[:history]
    return StandingAnswer(
        standing=row.standing if row else states.CURRENT,
        reason=row.reason if row else "",
        actions=list(row.actions) if row else [],
        since=moment_text(row.since) if row and row.version else None,
        causes=[
            StandingCauseAnswer(
                source=cause.source,
                standing=cause.standing,
                reason=cause.reason,
                actions=list(cause.actions),
                since=moment_text(cause.since),
            )
            for cause in causes
        ],
        history=[
            StandingChangeAnswer(
                at=moment_text(change.at),
                before=change.before,
                after=change.after,
                reason=change.reason,
                actions=list(change.actions),
                actor=change.actor,
            )
            for change in changes
        ],
    )


def standings_all(*, tenant_ids: Iterable[UUID] | None = None) -> list[Standing]:
    """Every tenant's that ever was not current, or those of `tenant_ids`."""
    found = Standing.objects.all() if tenant_ids is None else Standing.objects.filter(pk__in=list(tenant_ids))
    return list(found.order_by("pk"))


def actions_held(*, source: str) -> frozenset[str]:
    """What `source` asks for now, of whomever it holds."""
    held = StandingCause.objects.filter(source=source).values_list("actions", flat=True)
    return frozenset(action for actions in held for action in actions)


def tenants_held(*, source: str) -> set[UUID]:
    """Whom `source` holds now."""
    return set(StandingCause.objects.filter(source=source).values_list("tenant_id", flat=True))
