"""Changes of the standing. Each is one transaction: the cause, the standing that follows, its history, the audit."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction

from billing.standing import states
from billing.standing.models import Standing, StandingCause, StandingChange
from controlplane.core.audit import audit_record
from controlplane.core.errors import FreeholdError


@transaction.atomic
def standing_hold(
    *,
    tenant_id: UUID,
    team_id: UUID | None,
    source: str,
    standing: str,
    reason: str,
    at: datetime,
    actor: str,
    actions: Sequence[str] = (),
) -> bool:
    """`source` sees the tenant as `standing` (past_due or capped) from now on. Whether anything changed.

    Saying it again changes nothing; other words or actions replace what this source said before.
    """
    if standing not in states.STANDINGS[1:] or not set(actions) <= set(states.ACTIONS):
        raise ValueError(f"{standing} with {list(actions)} is no standing that can be held")
    current = _lock(tenant_id, at)
    wanted = {"standing": standing, "reason": reason[:500], "actions": _ordered(actions)}
    cause, created = StandingCause.objects.get_or_create(
        tenant_id=tenant_id, source=source, defaults={**wanted, "since": at}
    )
    if not created:
        changed = {name: value for name, value in wanted.items() if getattr(cause, name) != value}
        if not changed:
            return False
        StandingCause.objects.filter(pk=cause.pk).update(**changed)
    return _follow(current, team_id, at, actor)


@transaction.atomic
def standing_release(*, tenant_id: UUID, team_id: UUID | None, source: str, at: datetime, actor: str) -> bool:
    """`source` takes back what it held. Whether the standing changed; False also where it held nothing."""
    current = _lock(tenant_id, at)
    gone, _ = StandingCause.objects.filter(tenant_id=tenant_id, source=source).delete()
    return bool(gone) and _follow(current, team_id, at, actor)


def _lock(tenant_id: UUID, at: datetime) -> Standing:
    """The tenant's row, locked: causes of one tenant change one after another."""
    Standing.objects.bulk_create([Standing(tenant_id=tenant_id, since=at)], ignore_conflicts=True)
    return Standing.objects.select_for_update().get(pk=tenant_id)


def _follow(current: Standing, team_id: UUID | None, at: datetime, actor: str) -> bool:
    """Makes the standing the worst of its causes; of equally bad ones the oldest gives the reason."""
    causes = sorted(
        StandingCause.objects.filter(tenant_id=current.tenant_id),
        key=lambda cause: (-states.STANDINGS.index(cause.standing), cause.since, cause.pk),
    )
    after = causes[0].standing if causes else states.CURRENT
    reason = causes[0].reason if causes else ""
    actions = _ordered(action for cause in causes for action in cause.actions)
    wanted = {"standing": after, "reason": reason, "actions": actions}
    if all(getattr(current, name) == value for name, value in wanted.items()):
        return False
    version = current.version + 1
    moved = Standing.objects.filter(pk=current.pk, version=current.version).update(
        **wanted, version=version, since=at if after != current.standing else current.since
    )
    if moved != 1:
        raise FreeholdError("The standing changed while it was locked.", code="standing_race")
    StandingChange.objects.create(
        tenant_id=current.tenant_id,
        version=version,
        before=current.standing,
        after=after,
        reason=reason,
        actions=actions,
        actor=actor,
        at=at,
    )
    audit_record(
        at=at,
        actor=actor,
        action="billing.standing.changed",
        subject_type="tenant",
        subject_id=str(current.tenant_id),
        team_id=team_id,
        data={
            "before": current.standing,
            "after": after,
            "reason": reason,
            "actions": actions,
        },
    )
    return True


def _ordered(actions: Iterable[str]) -> list[str]:
    wanted = set(actions)
    return [action for action in states.ACTIONS if action in wanted]
