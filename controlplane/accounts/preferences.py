"""How somebody wants to see things: the time zone and the language. They decide nothing but what pages look like."""

from datetime import datetime
from functools import cache
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from django.db import transaction

from controlplane.accounts.access import Principal
from controlplane.accounts.locks import user_lock_by_id
from controlplane.core.audit import audit_record
from controlplane.core.errors import NotFound, ValidationFailed

LANGUAGES: Final = ("en", "de")
#: Names of other kinds (`EST`, `Etc/GMT+5`, `US/Pacific`) are taken as well, but not offered.
_REGIONS: Final = (
    "Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific",
)  # fmt: skip


@cache
def zones_known() -> frozenset[str]:
    # The machine's own zone is no name that means the same elsewhere.
    return frozenset(available_timezones()) - {"localtime", "Factory"}


@cache
def zones_offered() -> dict[str, tuple[str, ...]]:
    """Region -> names, both in order; UTC is a region of its own and comes first."""
    names = sorted(zones_known())
    regions = {region: tuple(name for name in names if name.startswith(f"{region}/")) for region in _REGIONS}
    return {"UTC": ("UTC",), **regions}


def zone_of(name: str) -> ZoneInfo | None:
    """None for what is no zone here: a name may come from a browser, or from an earlier time zone database."""
    return ZoneInfo(name) if name in zones_known() else None


@transaction.atomic
def preferences_update(*, principal: Principal, time_zone: str, language: str, now: datetime) -> bool:
    """Of the person that asks. Empty is the browser's. Whether anything changed; raises ValidationFailed."""
    if time_zone and zone_of(time_zone) is None:
        raise ValidationFailed.of("time_zone", "is no time zone of the IANA database")
    if language and language not in LANGUAGES:
        raise ValidationFailed.of("language", f"must be one of {', '.join(LANGUAGES)}")
    user = user_lock_by_id(_person(principal))
    if user is None:
        raise NotFound("There is no such person.")
    before = {"time_zone": user.time_zone, "language": user.language}
    after = {"time_zone": time_zone, "language": language}
    if before == after:
        return False
    user.time_zone, user.language = time_zone, language
    user.save(update_fields=list(after))
    audit_record(
        at=now,
        actor=principal.actor,
        action="user.preferences_set",
        subject_type="user",
        subject_id=str(user.id),
        team_id=principal.team_id,
        data={"before": before, "after": after},
    )
    return True


def _person(principal: Principal) -> UUID:
    if principal.user_id is None:
        raise NotFound("An API key has no preferences.", hint="Sign in to the portal.")
    return principal.user_id
