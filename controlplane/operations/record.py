"""What is remembered of a stack after the engine ran: outputs, resources, versions, and usage spans."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from billing.metering.spans import spans_close_all, spans_reconcile
from contracts.stack import Existing, StackOutputs, StackSpec
from controlplane.core.encryption import encrypt
from controlplane.operations import states
from controlplane.operations.models import Operation, Stack


def secret_context(tenant_id: object) -> str:
    return f"stack-outputs:{tenant_id}"


@transaction.atomic
def stack_record(
    *, operation: Operation, outputs: Mapping[str, Any], state: Mapping[str, Any], now: datetime
) -> str:
    """Stores what a successful run left behind and opens or closes usage spans accordingly; a sentence on it."""
    spec = StackSpec.model_validate(operation.spec)
    resources = list(state.get("resources", []))
    fields: dict[str, Any] = {
        "name": spec.qualified_stack_name,
        "program_version": spec.runtime.version,
        "state_version": _next_version(operation, state),
        "lock_suspect": False,
        "updated_at": now,
    }
    if operation.kind == states.DEPROVISION:
        fields |= {"outputs": {}, "secret_outputs": "", "resources": []}
        closed = spans_close_all(tenant_id=operation.tenant_id, at=now, operation_id=operation.id)
        sentence = f"{closed} usage spans closed."
    else:
        parsed = StackOutputs.model_validate(outputs["values"]["outputs"])
        secrets = {key: value for key, value in dict(outputs["secrets"]).items() if key != "outputs"}
        fields |= {
            "outputs": parsed.model_dump(mode="json"),
            "secret_outputs": encrypt(
                secrets, context=secret_context(operation.tenant_id), owner=operation.tenant_id
            ),
        }
        if resources:
            fields["resources"] = resources
        spans_reconcile(
            tenant_id=operation.tenant_id,
            resources=parsed.billable,
            ended=parsed.ended,
            at=now,
            operation_id=operation.id,
        )
        sentence = f"{len(resources)} resources, {len(parsed.billable)} usage spans open."
    Stack.objects.update_or_create(tenant_id=operation.tenant_id, defaults=fields)
    return sentence


@transaction.atomic
def stack_record_partial(*, operation: Operation, state: Mapping[str, Any], now: datetime) -> None:
    """After an apply that failed or was canceled: adds what it made to what is known, and opens and closes usage
    spans by what the state says exists. The outputs stay: the program did not get to say them."""
    spec = StackSpec.model_validate(operation.spec)
    stack, _ = Stack.objects.get_or_create(
        tenant_id=operation.tenant_id, defaults={"name": spec.qualified_stack_name, "updated_at": now}
    )
    gone = set(state.get("deleted", []))
    known = {resource["urn"]: resource for resource in [*stack.resources, *state["resources"]]}
    stack.resources = [known[urn] for urn in sorted(known) if urn not in gone]
    stack.updated_at = now
    existing = Existing.model_validate(state["existing"]) if "existing" in state else None
    if existing is not None and existing.program_version is not None:
        stack.program_version = existing.program_version
    stack.save(update_fields=["resources", "program_version", "updated_at"])
    if existing is not None:
        spans_reconcile(
            tenant_id=operation.tenant_id,
            resources=existing.billable,
            ended=existing.ended,
            at=now,
            operation_id=operation.id,
        )


def _next_version(operation: Operation, state: Mapping[str, Any]) -> int:
    """The engine's own number of the update where the backend counts them, else one more than the last."""
    known = (
        Stack.objects.filter(tenant_id=operation.tenant_id).values_list("state_version", flat=True).first()
    )
    return max(int(state.get("version") or 0), (known or 0) + 1)


def stack_lock_suspect(operation: Operation) -> None:
    """A run of this stack was killed: its backend lock may still lie there."""
    spec = StackSpec.model_validate(operation.spec)
    Stack.objects.update_or_create(
        tenant_id=operation.tenant_id,
        defaults={"lock_suspect": True},
        create_defaults={
            "lock_suspect": True,
            "name": spec.qualified_stack_name,
            "updated_at": operation.created_at,
        },
    )
