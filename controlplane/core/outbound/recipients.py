"""Whom e-mail may go to."""

from collections.abc import Sequence
from typing import Final

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from controlplane.core.errors import FieldProblem, ValidationFailed

MOST_EMAILS: Final = 20


def emails_check(raw: Sequence[str]) -> list[str]:
    """Distinct addresses in their order. Raises ValidationFailed naming each wrong one below `emails`."""
    if len(raw) > MOST_EMAILS:
        raise ValidationFailed.of("emails", f"must be at most {MOST_EMAILS} addresses")
    wrong: list[FieldProblem] = []
    for index, address in enumerate(raw):
        try:
            validate_email(address)
        except ValidationError:
            wrong.append({"pointer": f"/emails/{index}", "detail": "is not an e-mail address"})
    if wrong:
        raise ValidationFailed("Some addresses are not valid.", errors=wrong)
    return list(dict.fromkeys(raw))
