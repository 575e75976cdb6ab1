"""What the catalogues hold beside what is marked: the words of states and meters, and other rooms' sentences."""

from collections.abc import Iterator
from typing import Final

from billing.metering.catalogue import METERS
from billing.reports.models import CADENCES
from controlplane.accounts import roles
from controlplane.core import errors
from controlplane.operations.causes import CAUSES
from controlplane.portal.failures import because
from controlplane.portal.run_causes import RUN_CAUSES
from controlplane.portal.words import LOOKS
from controlplane.tenants import runtime_client
from controlplane.tenants.plans import plans

#: Words that come from no table: components and what is looked at, kinds of charges and changes, verbs of a log.
FURTHER: Final = (
    "postgres", "redis", "cache", "vector store", "runtime", "gpu pool", "stack", "agents", "worker", "provider",
    "create", "update", "replace", "delete", "same", "read", "refresh", "preview", "apply", "run", "destroy",
    "state", "step", "resource", "diagnostic", "summary", "message",
    "approve", "reject", "cancel", "retry", "approved", "rejected", "canceled", "retried", "automatic",
    "base fee", "usage", "recurring", "one time", "fixed", "minimum", "commitment", "discount", "credit", "addon",
    "month", "months", "name", "slug", "model", "plan", "target", "region", "contact email", "manual", "final",
    "scheduled", "email", "webhook", "sent", "delivered", "queued", "dead", "tenant", "operation", "invoice", "budget",
    "api key", "user", "member", "invitation", "team", "snapshot", "report link", "report schedule", "rate card",
    "auditor", "developer",
    "saved view", "revoked", "valid", "portal", "key", "installation",
)  # fmt: skip


def vocabulary() -> Iterator[str]:
    """Words as `word_text` looks them up."""
    for axis, looks in LOOKS.items():
        yield axis
        yield from looks
    for meter in METERS.values():
        yield meter.key
        yield meter.unit
        yield f"{meter.unit}s"
    yield from roles.ROLES
    yield from CADENCES
    yield from FURTHER


def sentences() -> Iterator[str]:
    """Sentences as `spoken` looks them up."""
    for cause in CAUSES:
        yield because(cause)
        yield cause.hint
    for told in RUN_CAUSES:
        yield from told
    for meter in METERS.values():
        yield meter.description
    for plan in plans().values():
        yield plan.description
    for module in (errors, runtime_client):
        for found in vars(module).values():
            if isinstance(found, type) and issubclass(found, errors.FreeholdError):
                yield found.title
