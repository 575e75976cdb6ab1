"""API keys: listed, made (shown once), rotated with overlap, revoked. For those with the scope admin."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_noop

from controlplane.accounts import roles
from controlplane.accounts.access import Principal
from controlplane.accounts.key_rotation import api_key_rotate
from controlplane.accounts.models import ApiKey
from controlplane.accounts.selectors import api_keys_visible
from controlplane.accounts.services import api_key_create, api_key_revoke
from controlplane.core import clock
from controlplane.core.errors import FreeholdError, NotFound, ValidationFailed
from controlplane.portal.listing import page_of
from controlplane.portal.pages import act, once_shown, page, show
from controlplane.portal.spoken import problems_of, spoken
from controlplane.tenants.rotation import runtime_key_ids, runtime_key_refuse
from controlplane.tenants.selectors import tenants_visible

#: choice in the form -> days; 0 never expires
LIFETIMES = {"30": 30, "90": 90, "365": 365, "0": 0}
#: choice in the form -> how long the old key stays valid beside the new one
OVERLAPS = {
    "0": (gettext_noop("at once"), timedelta(0)),
    "1": (gettext_noop("after an hour"), timedelta(hours=1)),
    "24": (gettext_noop("after a day"), timedelta(days=1)),
    "168": (gettext_noop("after a week"), timedelta(days=7)),
}
DEFAULT_OVERLAP = "24"


@page(roles.ADMIN, methods=("GET", "HEAD", "POST"))
def keys(request: HttpRequest, principal: Principal) -> HttpResponse:
    if request.method != "POST":
        return _keys(request, principal, {}, {})
    values = {"name": request.POST.get("name", "").strip()[:200], "days": request.POST.get("days", "90")}
    scopes = request.POST.getlist("scopes")

    def work() -> tuple[ApiKey, str]:
        if not values["name"]:
            raise ValidationFailed.of("name", gettext("is needed, so that the key can be told from others"))
        now, days = clock.now(), LIFETIMES.get(values["days"], 90)
        return api_key_create(
            team_id=principal.team_id,
            name=values["name"],
            scopes=scopes,
            actor=principal.actor,
            now=now,
            expires_at=now + timedelta(days=days) if days else None,
            # Whoever is limited to some tenants makes keys with the same limit.
            tenant_ids=principal.tenant_ids,
        )

    def refused(error: FreeholdError) -> HttpResponse:
        errors = problems_of(error)
        told = errors or {"name": spoken(error.detail)}
        return _keys(request, principal, {**values, "scopes": scopes}, told, status=error.status)

    made = once_shown(request, principal, back=reverse("portal:keys"), work=work, refused=refused)
    if isinstance(made, HttpResponse):
        return made
    key, token = made
    return _keys(request, principal, {}, {}, issued={"name": key.name, "token": token})


def _keys(
    request: HttpRequest,
    principal: Principal,
    values: dict[str, object],
    errors: dict[str, str],
    *,
    issued: dict[str, Any] | None = None,
    status: int = 200,
) -> HttpResponse:
    found = page_of(api_keys_visible(principal=principal).select_related("replacement"), request.GET)
    runtimes = runtime_key_ids(team_id=principal.team_id, among=[key.pk for key in found.object_list])
    wanted = {pk for key in found.object_list for pk in key.tenant_ids or ()}
    slugs = dict(tenants_visible(principal=principal).filter(pk__in=wanted).values_list("pk", "slug"))
    now = clock.now()
    context = {
        "found": found,
        "rows": [
            {
                "key": key,
                "tenants": None
                if key.tenant_ids is None
                else [slugs.get(pk, str(pk)) for pk in key.tenant_ids],
                "runtime": key.pk in runtimes,
                "replacement": getattr(key, "replacement", None),
                "state": _state(
                    key.revoked_at is not None, key.expires_at is not None and key.expires_at <= now
                ),
            }
            for key in found.object_list
        ],
        "values": values,
        "errors": errors,
        "issued": issued,
        "overlaps": {choice: gettext(text) for choice, (text, _) in OVERLAPS.items()},
        "default_overlap": DEFAULT_OVERLAP,
        "scopes": sorted(roles.SCOPES),
        "default_scopes": (roles.TENANTS_READ, roles.OPERATIONS_READ, roles.BILLING_READ),
    }
    return show(
        request,
        principal,
        "portal/keys.html",
        context,
        section="keys",
        crumbs=((gettext("API keys"), ""),),
        status=status,
    )


def _visible(principal: Principal, key_id: UUID) -> None:
    """Raises NotFound for a key that the list does not show."""
    if not api_keys_visible(principal=principal).filter(pk=key_id).exists():
        raise NotFound(gettext("There is no such API key."))


def _state(revoked: bool, expired: bool) -> str:
    return "revoked" if revoked else "expired" if expired else "valid"


@page(roles.ADMIN, methods=("POST",))
def key_rotate(request: HttpRequest, principal: Principal, key_id: UUID) -> HttpResponse:
    """Answers with the new key, which is shown this once."""
    _visible(principal, key_id)
    _, overlap = OVERLAPS.get(request.POST.get("overlap", ""), OVERLAPS[DEFAULT_OVERLAP])

    def work() -> tuple[ApiKey, str]:
        runtime_key_refuse(team_id=principal.team_id, api_key_id=key_id)
        return api_key_rotate(
            team_id=principal.team_id,
            api_key_id=key_id,
            overlap=overlap,
            actor=principal.actor,
            now=clock.now(),
        )

    made = once_shown(request, principal, back=reverse("portal:keys"), work=work)
    if isinstance(made, HttpResponse):
        return made
    key, token = made
    issued = {"name": key.name, "token": token, "old": key.replaces}
    return _keys(request, principal, {}, {}, issued=issued)


@page(roles.ADMIN, methods=("POST",))
def key_revoke(request: HttpRequest, principal: Principal, key_id: UUID) -> HttpResponse:
    _visible(principal, key_id)
    back = reverse("portal:keys")

    def work() -> str:
        api_key_revoke(team_id=principal.team_id, api_key_id=key_id, actor=principal.actor, now=clock.now())
        messages.success(request, gettext("The key was revoked. Whatever used it is refused from now on."))
        return back

    return act(request, principal, back=back, work=work)
