"""The form of a budget: what was typed, and what is wrong with it. Pure."""

import hashlib
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from django.http import QueryDict
from django.utils.translation import gettext

from billing.budgets.models import OPEN
from billing.budgets.thresholds import ACTIONS, MEASURES
from controlplane.core.errors import ValidationFailed
from controlplane.portal.spoken import spoken

#: Rows of thresholds that the form offers beyond those filled in.
SPARE_ROWS: Final = 2
FEWEST_ROWS: Final = 4
#: Not part of what the form says.
_ASIDE: Final = ("csrfmiddlewaretoken", "form_key", "previewed", "etag")


@dataclass
class Draft:
    """What the form holds, as typed."""

    name: str = ""
    amount: str = ""
    currency: str = "USD"
    on_unknown: str = OPEN
    resume_afterwards: bool = False
    emails: str = ""
    #: None: the form said nothing of it, so it stays as it is.
    webhook_url: str | None = None
    thresholds: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The thresholds, and empty rows to fill in."""
        spare = max(SPARE_ROWS, FEWEST_ROWS - len(self.thresholds))
        blank: dict[str, Any] = {"percent": "", "on": MEASURES[0], "actions": [ACTIONS[0]]}
        return [*self.thresholds, *[blank] * spare]

    def values(self) -> dict[str, Any]:
        """As the services take them. Raises ValidationFailed for an amount that is no number."""
        try:
            amount = Decimal(self.amount.replace(",", "").replace(" ", ""))
        except InvalidOperation as error:
            raise ValidationFailed.of("amount", gettext("must be a number, such as 500 or 99.50")) from error
        return {
            "name": self.name,
            "amount": amount,
            "thresholds": self.thresholds,
            "on_unknown": self.on_unknown,
            "resume_afterwards": self.resume_afterwards,
            "emails": self.emails.replace(",", " ").split(),
        }


def draft_read(params: QueryDict, currency: str) -> Draft:
    thresholds = []
    for number in range(len(params)):
        percent = params.get(f"percent-{number}", "").strip().removesuffix("%").strip()
        if percent:
            thresholds.append(
                {
                    "percent": percent[:10],
                    "on": params.get(f"on-{number}", MEASURES[0]),
                    "actions": params.getlist(f"actions-{number}"),
                }
            )
    return Draft(
        name=params.get("name", "")[:200],
        amount=params.get("amount", "").strip()[:30],
        currency=currency,
        on_unknown=params.get("on_unknown", OPEN),
        resume_afterwards=params.get("resume_afterwards") == "on",
        emails=params.get("emails", "")[:6000],
        webhook_url=params.get("webhook_url", "").strip()[:2000] if "webhook_url" in params else None,
        thresholds=thresholds,
    )


def fingerprint(params: QueryDict) -> str:
    """Of what the form says: equal as long as nobody changed a value."""
    said = sorted((name, params.getlist(name)) for name in params if name not in _ASIDE)
    return hashlib.sha256(repr(said).encode()).hexdigest()


def errors_of(error: ValidationFailed | None) -> dict[str, Any]:
    """By field; those of thresholds and addresses as sentences."""
    found: dict[str, Any] = {"thresholds": [], "emails": []}
    for problem in error.errors if error else ():
        name, *rest = problem["pointer"].strip("/").split("/")
        if name in ("thresholds", "emails"):
            noun = gettext("Threshold") if name == "thresholds" else gettext("Address")
            place = f"{noun} {int(rest[0]) + 1} " if rest else ""
            within = f"({rest[1]}) " if len(rest) > 1 else ""
            found[name].append(f"{place}{within}{spoken(problem['detail'])}".strip())
        else:
            found[name] = spoken(problem["detail"])
    return found
