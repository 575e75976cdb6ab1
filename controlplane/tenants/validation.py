"""What a tenant's fields may be."""

import re
from collections.abc import Mapping

from django.core.exceptions import ValidationError as DjangoValidationError
from django.core.validators import validate_email

from contracts.stack import SLUG_PATTERN
from controlplane.core.errors import FieldProblem, ValidationFailed
from controlplane.tenants.plans import plans
from controlplane.tenants.targets import targets_offered

#: Names that would read as something else in a URL or a folder listing.
RESERVED_SLUGS = frozenset(
    {"new", "api", "admin", "static", "login", "logout", "healthz", "readyz", "metrics"}
)
_LABEL_KEY = re.compile(r"^[a-z0-9](?:[a-z0-9._/-]{0,61}[a-z0-9])?$")


def tenant_check(
    *,
    slug: str,
    name: str,
    plan: str,
    target: str,
    contact_email: str,
    labels: Mapping[str, str],
    region: str | None = None,
) -> None:
    """Raises ValidationFailed naming every wrong field. `region` None: the target's first."""
    problems: list[FieldProblem] = []
    if not re.fullmatch(SLUG_PATTERN, slug):
        problems.append(
            {
                "pointer": "/slug",
                "detail": "must be 2 to 40 of a-z, 0-9 and -, begin with a letter and not end with -",
            }
        )
    elif slug in RESERVED_SLUGS:
        problems.append({"pointer": "/slug", "detail": "is reserved"})
    if not name.strip() or len(name) > 200 or any(ord(character) < 32 for character in name):
        problems.append({"pointer": "/name", "detail": "must be 1 to 200 printable characters"})
    if plan not in plans():
        problems.append({"pointer": "/plan", "detail": f"must be one of {', '.join(plans())}"})
    offered = targets_offered()
    if target not in offered:
        problems.append({"pointer": "/target", "detail": f"must be one of {', '.join(offered)}"})
    elif region and region not in offered[target].regions:
        problems.append(
            {"pointer": "/region", "detail": f"must be one of {', '.join(offered[target].regions)}"}
        )
    if contact_email:
        try:
            validate_email(contact_email)
        except DjangoValidationError:
            problems.append({"pointer": "/contact_email", "detail": "is not an e-mail address"})
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or len(value) > 200:
            problems.append({"pointer": f"/labels/{key[:63]}", "detail": "is not a valid label"})
    if problems:
        raise ValidationFailed(
            "; ".join(f"{p['pointer'][1:]}: {p['detail']}" for p in problems), errors=problems
        )
