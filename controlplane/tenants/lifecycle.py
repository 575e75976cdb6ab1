"""What operations call on tenants: the lifecycle follows what was really done (see states.next_lifecycle)."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.conf import settings

from contracts.snapshot import DataJob
from contracts.stack import StackOutputs, StackSecrets, StackSpec
from controlplane.core import clock
from controlplane.core.errors import FreeholdError
from controlplane.operations import states as operation_states
from controlplane.operations.models import Operation, OperationEvent
from controlplane.operations.selectors import stack_of
from controlplane.operations.subject import Verification
from controlplane.tenants import states
from controlplane.tenants.acceptance import protection_check
from controlplane.tenants.component_health import endpoints_of, health_forget, looks_settle
from controlplane.tenants.health import runtime_probe, runtime_probe_until
from controlplane.tenants.leaks import Leak, Scan, leaks_find, restless_find
from controlplane.tenants.models import Tenant
from controlplane.tenants.pricing import agreement_finish, agreement_follow
from controlplane.tenants.probing import looks_take
from controlplane.tenants.rotation import credentials_read, credentials_settle
from controlplane.tenants.runtime_secrets import storage_keys_text, webhook_secrets_text
from controlplane.tenants.services import tenant_credentials_forget
from controlplane.tenants.snapshots.jobs import data_job_build
from controlplane.tenants.snapshots.requests import restore_after_provision
from controlplane.tenants.snapshots.services import snapshot_complete, snapshots_follow
from controlplane.tenants.stack_spec import stack_spec_of
from controlplane.tenants.token_keys import token_jwks

VERIFY_DEADLINE_S = 20.0
#: A cloud's load balancer and the name of its address take minutes to be known.
VERIFY_DEADLINE_CLOUD_S = 300.0


class TenantSubject:
    """Implements controlplane.operations.subject.OperationSubject."""

    def spec(self, *, operation: Operation) -> StackSpec:
        return stack_spec_of(operation.tenant, kind=operation.kind)

    def secrets(self, *, operation: Operation) -> StackSecrets:
        return stack_secrets_of(operation.tenant)

    def started(self, *, operation: Operation, now: datetime) -> None:
        self._move(operation, "started", now)
        snapshots_follow(operation=operation, now=now)

    def applying(self, *, operation: Operation, now: datetime) -> None:
        self._move(operation, "applying", now)

    def finished(self, *, operation: Operation, now: datetime) -> None:
        self._move(operation, operation.state, now, halfway=_halfway(operation))
        applied = operation_states.ACTION_OF_KIND[operation.kind] == "up"
        if applied and operation.state == operation_states.SUCCEEDED:
            tenant = Tenant.objects.select_for_update().get(pk=operation.tenant_id)
            generation = StackSpec.model_validate(operation.spec).credentials
            credentials_settle(tenant=tenant, generation=generation, actor="executor", now=now)
            plan = StackSpec.model_validate(operation.spec).plan
            agreement_follow(tenant, plan=plan, actor=operation.requested_by, now=now)
        snapshots_follow(operation=operation, now=now)

    def data_job(self, *, operation: Operation, scratch: str) -> DataJob | None:
        return data_job_build(operation=operation, scratch=scratch)

    def snapshot_taken(self, *, operation: Operation, taken: Mapping[str, Any], now: datetime) -> None:
        snapshot_complete(operation=operation, taken=taken, now=now)

    def retry_check(self, *, operation: Operation) -> None:
        if operation.kind == "deprovision":
            protection_check(Tenant.objects.get(pk=operation.tenant_id))

    def verify(self, *, operation: Operation, alive: Callable[[], None]) -> Verification:
        """Looks from outside: a provisioned runtime answers, a suspended one is gone, a deprovisioned tenant has
        left nothing."""
        spec = StackSpec.model_validate(operation.spec)
        if operation.kind == "deprovision":
            return _left_nothing(spec, alive)
        stack = stack_of(tenant_id=operation.tenant_id)
        if stack is None or not stack.outputs:
            return Verification(False, "The stack has no outputs.", "Run an update.")
        url = StackOutputs.model_validate(stack.outputs).runtime_url
        Tenant.objects.filter(pk=operation.tenant_id).update(runtime_url=url)
        if spec.suspended:
            return _rests(spec, url, alive)
        deadline_s = VERIFY_DEADLINE_S if spec.local is not None else VERIFY_DEADLINE_CLOUD_S
        probe = runtime_probe_until(url, deadline_s=deadline_s, alive=alive)
        tenant = Tenant.objects.get(pk=operation.tenant_id)
        looks = looks_take([endpoints_of(tenant, stack)])[tenant.pk]
        looks_settle(tenant_id=tenant.pk, looks=looks, now=clock.now())
        if probe.health in (states.HEALTHY, states.DEGRADED):
            return Verification(True, f"The runtime answers: {probe.health}.")
        return Verification(
            False, f"The runtime at {url} is {probe.health}: {probe.detail}", "Look at the runtime's log."
        )

    def _move(self, operation: Operation, happened: str, now: datetime, *, halfway: bool = False) -> None:
        current = Tenant.objects.select_for_update().get(pk=operation.tenant_id)
        following = states.next_lifecycle(
            current.lifecycle, kind=operation.kind, happened=happened, halfway=halfway
        )
        if following is None:
            return
        fields: dict[str, object] = {"lifecycle": following, "updated_at": now}
        if following == states.PROVISIONING:
            fields["health"] = states.PROGRESSING
        elif following == states.ACTIVE:
            fields |= {"activated_at": current.activated_at or now, "health_checked_at": now}
        elif following == states.DEPROVISIONED:
            fields |= {
                "slot": None,
                "network": None,
                "runtime_url": "",
                "deprovisioned_at": now,
                "health": states.UNKNOWN,
                "health_checks": [],
            }
        moved = Tenant.objects.filter(pk=current.pk, lifecycle=current.lifecycle).update(**fields)
        if moved != 1:
            raise FreeholdError(
                f"Tenant {current.slug} changed its lifecycle while it was locked.", code="lifecycle_race"
            )
        operation.refresh_from_db(fields=["tenant"])
        if following in (states.FAILED, states.SUSPENDED):
            # Nobody looks at it any more, and what nobody sees is unknown, not ill.
            health_forget(tenant_id=current.pk, now=now)
        if operation.kind == "provision" and following == states.ACTIVE:
            restore_after_provision(tenant=current, actor=operation.requested_by, now=now)
        if following == states.DEPROVISIONED:
            agreement_finish(current, actor="executor", now=now)
            tenant_credentials_forget(tenant=current, actor="executor", now=now)


def stack_secrets_of(tenant: Tenant) -> StackSecrets:
    """What its program is given beside the specification."""
    sealed = credentials_read(tenant)
    return StackSecrets(
        usage_token=sealed["usage_token"],
        runtime_admin_key=sealed["runtime_admin_key"],
        model_api_key=settings.MODEL_API_KEY or None,
        runtime_token_keys=token_jwks(sealed),
        runtime_storage_keys=storage_keys_text(sealed),
        runtime_webhook_secret=webhook_secrets_text(sealed),
        password_seed=sealed.get("password_seed"),
    )


def _halfway(operation: Operation) -> bool:
    """Whether an apply of it ever began, in this run or in one that was taken over."""
    if operation.state not in (operation_states.FAILED, operation_states.CANCELED):
        return False
    if (operation.error or {}).get("code") == "plan_stale":
        return False  # refused before the first change
    return OperationEvent.objects.filter(
        operation=operation, type="state", data__state=operation_states.APPLYING
    ).exists()


def _rests(spec: StackSpec, url: str, alive: Callable[[], None]) -> Verification:
    scan = restless_find(spec, alive=alive)
    if spec.local is None and runtime_probe(url).health in (states.HEALTHY, states.DEGRADED):
        scan.leaks.append(Leak("runtime", url, "still answers"))
    if scan.leaks:
        return Verification(
            False,
            f"{spec.slug} does not rest: " + "; ".join(map(str, scan.leaks)),
            "End what is named, then retry; it looks again.",
            code="not_at_rest",
        )
    if scan.failures:
        return _undecided(spec, scan)
    return Verification(
        True, "It rests: nothing of the runtime runs, no GPU is held; the databases keep the data."
    )


def _left_nothing(spec: StackSpec, alive: Callable[[], None]) -> Verification:
    scan = leaks_find(spec, alive=alive)
    if scan.leaks:
        unasked = f" Not asked: {'; '.join(scan.failures)}." if scan.failures else ""
        return Verification(
            False,
            f"{len(scan.leaks)} things of {spec.slug} are left: {'; '.join(map(str, scan.leaks))}.{unasked}",
            "End or remove what is named, then retry the deletion; it looks again.",
            code="leak_found",
        )
    if scan.failures:
        return _undecided(spec, scan)
    kept = f" Kept on purpose: {'; '.join(map(str, scan.kept))}." if scan.kept else ""
    return Verification(True, f"Nothing is left. Looked for: {', '.join(scan.asked)}.{kept}")


def _undecided(spec: StackSpec, scan: Scan) -> Verification:
    """What could not be asked may hold something: nobody may say that nothing is left."""
    return Verification(
        False,
        f"Nothing of {spec.slug} was seen, but not everything could be asked: {'; '.join(scan.failures)}.",
        "See that what is named answers and that Freehold may ask it, then retry; it looks again.",
        code="leak_scan_undecided",
    )
