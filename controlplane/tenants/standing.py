"""Doing what billing standings ask for. Billing says what holds (billing/standing) and can reach no tenant; here it is
looked up by the clock and carried out, again and again until it is done.

- `block_runs`: the runtime is told to refuse new runs, and told again at times, and after a restore, since its note of
  it lies in the data that a restore replaces. Once lifted it is told to take them again.
- `scale_gpu_to_zero`: one suspend operation for each time it is asked for. It waits in the queue behind what the tenant
  is busy with. A tenant that a person resumes meanwhile is left alone: the person decided later.
- `resume_afterwards`: when the call for no GPUs ends, a tenant is resumed if it rests by our suspension and nobody
  suspended or resumed it since. Without it, a person resumes it. A suspension that still waits is canceled either way.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import httpx
import structlog
from django.db import transaction

from billing.standing import states as standings
from billing.standing.models import Standing
from billing.standing.selectors import standings_all
from controlplane.accounts.access import Principal
from controlplane.core.errors import Conflict, FreeholdError
from controlplane.operations import states as operation_states
from controlplane.operations.models import Operation
from controlplane.operations.services import operation_cancel
from controlplane.tenants import states
from controlplane.tenants.locks import tenant_and_operations_lock
from controlplane.tenants.models import StandingEnactment, Tenant
from controlplane.tenants.runtime_admin import runtime_admin_post
from controlplane.tenants.services import tenant_operate

log = structlog.get_logger()

ACTOR: Final = "system:standing"
#: How often a runtime that refuses runs is told so again.
TELL_AGAIN: Final = timedelta(minutes=5)
#: How far back restores are looked for, of tenants that were always current: their snapshot may be of one that was not.
_RESTORES: Final = timedelta(hours=1)
_RUNTIME_S: Final = 5.0
HINT: Final = (
    "Raise the budget, or wait for the next month. What runs already is finished, and nothing is lost."
)
_POWER: Final = (operation_states.SUSPEND, operation_states.RESUME)
_WAITING: Final = (operation_states.QUEUED, operation_states.AWAITING_APPROVAL)


def standings_enact(*, clock_now: Callable[[], datetime], until: Callable[[], bool] = lambda: False) -> int:
    """Every tenant whose standing asks for something; of how many anything was done. One that fails holds up no
    other. Stops where `until` says so; whoever was looked at longest ago comes first."""
    done = 0
    for tenant_id in _tenants_concerned(clock_now()):
        if until():
            break
        try:
            done += standing_enact(tenant_id=tenant_id, now=clock_now())
        except FreeholdError as error:
            log.warning("standing.refused", tenant=str(tenant_id), error=error.detail)
        except Exception:
            log.exception("standing.surprise", tenant=str(tenant_id))
    return done


def standing_enact(*, tenant_id: UUID, now: datetime) -> bool:
    """Brings one tenant in line with its standing as far as it can be now. Whether anything was done."""
    if not Tenant.objects.filter(pk=tenant_id).exclude(lifecycle=states.DEPROVISIONED).exists():
        return False
    with transaction.atomic():
        tenant = tenant_and_operations_lock(tenant_id)
        standing = Standing.objects.filter(pk=tenant_id).first() or Standing(tenant_id=tenant_id, since=now)
        enactment, _ = StandingEnactment.objects.get_or_create(tenant=tenant, defaults={"looked_at": now})
        shown = _standing_show(tenant, standing, now)
        problem, asked = _power_follow(tenant, standing, enactment, now)
        StandingEnactment.objects.filter(pk=tenant_id).update(looked_at=now, problem=problem)
    told = _runs_follow(tenant, standing, enactment, now)
    return shown or asked or told


def _tenants_concerned(now: datetime) -> list[UUID]:
    restored = Operation.objects.filter(
        kind=operation_states.RESTORE,
        state=operation_states.SUCCEEDED,
        finished_at__gt=now - _RESTORES,
    ).values_list("tenant_id", flat=True)
    looked = dict(StandingEnactment.objects.values_list("tenant_id", "looked_at"))
    concerned = {standing.tenant_id for standing in standings_all()} | set(restored)
    # Whoever was never looked at comes before all others.
    return sorted(concerned, key=lambda pk: (pk in looked, looked.get(pk, now), pk))


def _standing_show(tenant: Tenant, standing: Standing, now: datetime) -> bool:
    moved = Tenant.objects.filter(pk=tenant.pk).exclude(billing=standing.standing)
    later = max(now, tenant.updated_at + timedelta(microseconds=1))
    return moved.update(billing=standing.standing, updated_at=later) == 1


def _power_follow(
    tenant: Tenant, standing: Standing, enactment: StandingEnactment, now: datetime
) -> tuple[str, bool]:
    """(why it has to wait, whether an operation was asked for or called off). The tenant and its operations are
    locked."""
    wanted = standings.SCALE_GPU_TO_ZERO in standing.actions
    if wanted and enactment.zero_asked:
        # The newest wish counts when it ends.
        _note(tenant, resume_afterwards=standings.RESUME_AFTERWARDS in standing.actions)
        return "", False
    if wanted:
        return _suspend(tenant, standing, now)
    if enactment.zero_asked:
        return _unsuspend(tenant, enactment, now)
    return "", False


def _suspend(tenant: Tenant, standing: Standing, now: datetime) -> tuple[str, bool]:
    resume_afterwards = standings.RESUME_AFTERWARDS in standing.actions
    open_ones = Operation.objects.filter(tenant_id=tenant.pk, state__in=operation_states.OPEN)
    if open_ones.filter(kind=operation_states.DEPROVISION).exists():
        return "It is being deleted.", False
    if tenant.lifecycle == states.SUSPENDED or open_ones.filter(kind=operation_states.SUSPEND).exists():
        _note(tenant, zero_asked=True, suspend_operation=None, resume_afterwards=False)
        return "", False
    try:
        operation = tenant_operate(
            principal=_principal(tenant),
            tenant=tenant,
            kind=operation_states.SUSPEND,
            reason=standing.reason[:500],
            now=now,
        )
    except Conflict as error:
        return error.detail[:500], False
    _note(tenant, zero_asked=True, suspend_operation=operation.pk, resume_afterwards=resume_afterwards)
    return "", True


def _unsuspend(tenant: Tenant, enactment: StandingEnactment, now: datetime) -> tuple[str, bool]:
    asked = enactment.suspend_operation
    ours = None if asked is None else Operation.objects.filter(pk=asked).first()
    acted = False
    if ours is not None and ours.state in _WAITING:
        operation_cancel(operation=ours, actor=ACTOR, now=now)
        acted = True
    elif ours is not None and ours.state in operation_states.OPEN:
        return "The suspension that is no longer wanted is under way; what follows waits for its end.", False
    elif ours is not None and enactment.resume_afterwards and _rests_by(ours, tenant):
        try:
            tenant_operate(
                principal=_principal(tenant),
                tenant=tenant,
                kind=operation_states.RESUME,
                reason="What it was suspended for is over.",
                now=now,
            )
        except Conflict as error:
            return error.detail[:500], False
        acted = True
    _note(tenant, zero_asked=False, suspend_operation=None, resume_afterwards=False)
    return "", acted


def _rests_by(suspension: Operation, tenant: Tenant) -> bool:
    newest = (
        Operation.objects.filter(tenant_id=tenant.pk, kind__in=_POWER).order_by("-created_at", "-pk").first()
    )
    return tenant.lifecycle == states.SUSPENDED and newest is not None and newest.pk == suspension.pk


def _runs_follow(tenant: Tenant, standing: Standing, enactment: StandingEnactment, now: datetime) -> bool:
    """Tells the runtime, if it has to be told anything. Without a lock: its answer may take seconds, and telling it
    twice does no harm."""
    paused = standings.BLOCK_RUNS in standing.actions
    same = enactment.runs_paused == paused and (not paused or enactment.pause_reason == standing.reason)
    fresh = enactment.told_at is not None and now - enactment.told_at < TELL_AGAIN
    if same and not _restored_since(tenant, enactment.told_at) and (fresh or not paused):
        return False
    if tenant.lifecycle != states.ACTIVE or not tenant.runtime_url:
        return False  # there is nobody to tell; a runtime that comes back is told then
    try:
        if paused:
            body = {"reason": standing.reason, "hint": HINT}
            runtime_admin_post(tenant=tenant, path="pause", body=body, timeout_s=_RUNTIME_S)
        else:
            runtime_admin_post(tenant=tenant, path="resume", body={}, timeout_s=_RUNTIME_S)
    except (httpx.HTTPError, ValueError) as error:
        problem = f"The runtime could not be told ({type(error).__name__}); it is tried again."
        _note(tenant, problem=problem)
        return False
    _note(tenant, runs_paused=paused, pause_reason=standing.reason if paused else "", told_at=now)
    if not same:
        log.info("standing.runs", tenant=tenant.slug, paused=paused)
    return not same


def _restored_since(tenant: Tenant, told_at: datetime | None) -> bool:
    restores = Operation.objects.filter(
        tenant_id=tenant.pk, kind=operation_states.RESTORE, state=operation_states.SUCCEEDED
    )
    return (restores if told_at is None else restores.filter(finished_at__gt=told_at)).exists()


def _note(tenant: Tenant, **fields: object) -> None:
    StandingEnactment.objects.filter(pk=tenant.pk).update(**fields)


def _principal(tenant: Tenant) -> Principal:
    """Stands for the installation: whoever set the budget decided what happens here."""
    return Principal(actor=ACTOR, team_id=tenant.team_id, scopes=frozenset())
