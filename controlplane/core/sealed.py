"""Which fields hold sealed values. Rotation of keys finds values by this table, so every such field is in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.apps import apps
from django.db.models import CharField, Manager, Model, TextField

PREFIX: Final = "fh2:"


@dataclass(frozen=True)
class SealedField:
    """`owner` is the attribute that names whose key seals the value; None: the installation's. `context` is a
    template over {owner} and {pk}."""

    model: str
    field: str
    context: str
    owner: str | None = None

    def rows(self) -> Manager[Model]:
        manager: Manager[Model] = apps.get_model(self.model)._default_manager
        return manager

    def context_of(self, *, owner: object, pk: object) -> str:
        return self.context.format(owner=owner, pk=pk)

    def __str__(self) -> str:
        return f"{self.model}.{self.field}"


SEALED_FIELDS: Final = (
    SealedField("tenants.Tenant", "sealed_secrets", "tenant-secrets:{owner}", owner="pk"),
    SealedField("operations.Stack", "secret_outputs", "stack-outputs:{owner}", owner="tenant_id"),
    # The installation's: a final snapshot outlives its tenant, and is restored into another one.
    SealedField("tenants.Snapshot", "sealed_key", "snapshot:{pk}"),
    SealedField("tenants.Snapshot", "sealed_storage_keys", "snapshot-storage:{pk}"),
    SealedField("core.OutboundEndpoint", "sealed_secret", "outbound-endpoint:{pk}"),
    SealedField("core.OutboundMessage", "sealed_text", "outbound-text:{pk}"),
    SealedField("api.IdempotencyRecord", "sealed_answer", "idempotency:{pk}"),
)


def contexts_of(owner: UUID) -> set[str]:
    """The contexts under which something may be sealed with an owner's key."""
    return {each.context.format(owner=owner, pk="") for each in SEALED_FIELDS if each.owner is not None}


def fields_named_like_secrets() -> Iterator[tuple[str, str]]:
    """Every text field of ours whose name says that it is sealed; the table must know each of them."""
    for model in apps.get_models():
        for each in model._meta.get_fields():
            named = each.name.startswith(("sealed_", "secret_"))
            if named and isinstance(each, CharField | TextField):
                yield f"{model._meta.app_label}.{model.__name__}", each.name
