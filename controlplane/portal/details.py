"""What of a tenant may be changed after its onboarding: its name, labels and plan, as a form has them."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext

from controlplane.core.errors import FreeholdError, ValidationFailed
from controlplane.portal.spoken import refusal, spoken
from controlplane.tenants.models import Tenant
from controlplane.tenants.plans import plans
from controlplane.tenants.selectors import tenant_etag

MOST_CHARACTERS = 20_000
FIELDS = ("name", "labels", "plan")


def details_of(tenant: Tenant) -> dict[str, str]:
    """Labels are a line each, in the order of their keys."""
    lines = "\n".join(f"{key}={value}" for key, value in sorted(tenant.labels.items()))
    return {"name": tenant.name, "labels": lines, "plan": tenant.plan}


def details_sent(form: Mapping[str, str], tenant: Tenant) -> dict[str, str]:
    """The form's values. What it does not send (no browser sends a field that is shut) stays as it is."""
    return {name: form.get(name, value)[:MOST_CHARACTERS] for name, value in details_of(tenant).items()}


def details_read(values: Mapping[str, str]) -> dict[str, Any]:
    """As tenant_update takes them. Raises ValidationFailed for a line that is no label."""
    labels: dict[str, str] = {}
    for line in filter(None, map(str.strip, values["labels"].splitlines())):
        key, separator, value = line.partition("=")
        if not separator or key.strip() in labels:
            wrong = (
                gettext("%(line)s: a label is KEY=VALUE, and each key is there once")
                if separator
                else gettext("%(line)s: a label is a line such as team=sales")
            )
            raise ValidationFailed.of("/labels", wrong % {"line": line[:80]})
        labels[key.strip()] = value.strip()
    return {"name": values["name"], "labels": labels, "plan": values["plan"]}


def details_errors(error: FreeholdError) -> dict[str, str]:
    """field -> what is wrong with it; what is of no field stands under "all"."""
    found: dict[str, str] = {}
    for problem in error.errors:
        field, _, key = problem["pointer"].strip("/").partition("/")
        told = spoken(problem["detail"])
        found.setdefault(field if field in FIELDS else "all", f"{key}: {told}" if key else told)
    return found or {"all": refusal(error)}


def details_shown(
    tenant: Tenant, values: dict[str, str] | None = None, errors: dict[str, str] | None = None
) -> dict[str, Any]:
    return {
        "values": values or details_of(tenant),
        "errors": errors or {},
        "etag": tenant_etag(tenant),
        "plans": [(key, plan.name) for key, plan in plans().items()],
    }
