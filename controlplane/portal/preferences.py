"""The page of a person's own preferences."""

from typing import Final

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from controlplane.accounts import roles
from controlplane.accounts.access import Principal
from controlplane.accounts.models import User
from controlplane.accounts.preferences import (
    LANGUAGES,
    preferences_update,
    zone_of,
    zones_known,
    zones_offered,
)
from controlplane.core import clock
from controlplane.core.errors import ValidationFailed
from controlplane.portal.pages import once, page, show
from controlplane.portal.spoken import problems_of
from controlplane.portal.viewer import ZONE_COOKIE

#: Each in its own words: somebody who cannot read the page finds theirs.
_TITLES: Final = {"en": "English", "de": "Deutsch"}


@page(roles.TENANTS_READ, methods=("GET", "HEAD", "POST"))
def preferences(request: HttpRequest, principal: Principal) -> HttpResponse:
    user = request.user
    assert isinstance(user, User)
    if request.method != "POST":
        return _preferences(request, principal, {"time_zone": user.time_zone, "language": user.language}, {})
    # A language that the form does not offer stays as it is.
    language = request.POST.get("language", user.language)[:8]
    values = {"time_zone": request.POST.get("time_zone", "")[:64], "language": language}

    def work() -> str:
        preferences_update(principal=principal, **values, now=clock.now())
        messages.success(request, _("Your preferences were saved."))
        return reverse("portal:preferences")

    try:
        return once(request, principal, work)
    except ValidationFailed as error:
        errors = problems_of(error)
        return _preferences(request, principal, values, errors, status=error.status)


def languages_spoken() -> dict[str, str]:
    """Those that the portal has words for; English is what it is written in."""
    spoken = dict(settings.LANGUAGES) if settings.USE_I18N else {"en": ""}
    return {code: _TITLES[code] for code in LANGUAGES if code in spoken}


def _preferences(
    request: HttpRequest,
    principal: Principal,
    values: dict[str, str],
    errors: dict[str, str],
    *,
    status: int = 200,
) -> HttpResponse:
    browser = request.COOKIES.get(ZONE_COOKIE, "")
    chosen = values["time_zone"]
    offered = zones_offered()
    listed = any(chosen in names for names in offered.values())
    context = {
        "values": values,
        "errors": errors,
        "zones": offered,
        "other_zone": chosen if chosen in zones_known() and not listed else "",
        "browser_zone": browser if zone_of(browser) else "",
        "languages": languages_spoken(),
    }
    return show(
        request,
        principal,
        "portal/preferences.html",
        context,
        section="preferences",
        crumbs=((_("Preferences"), ""),),
        status=status,
    )
