"""Who is on the team: roles, limits, last sign-ins, invitations. For those with the scope admin over the whole team."""

import secrets
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_noop

from controlplane.accounts import roles
from controlplane.accounts.access import Principal, access_require_team
from controlplane.accounts.invitations import (
    DEFAULT_DAYS,
    invitation_create,
    invitation_resend,
    invitation_revoke,
)
from controlplane.accounts.mails import invitation_link
from controlplane.accounts.members import member_remove, member_role_set
from controlplane.accounts.models import Invitation
from controlplane.accounts.selectors import invitations_open, members_of, roles_grantable
from controlplane.core import clock
from controlplane.core.errors import FreeholdError, ValidationFailed
from controlplane.core.outbound.services import email_goes_out
from controlplane.portal.listing import page_of
from controlplane.portal.pages import act, once_shown, page, show
from controlplane.portal.spoken import problems_of, spoken
from controlplane.portal.words import word_text
from controlplane.tenants.rotation import runtime_key_ids
from controlplane.tenants.selectors import tenants_visible

LIFETIMES = {
    "1": gettext_noop("after a day"),
    "7": gettext_noop("after a week"),
    "30": gettext_noop("after 30 days"),
}
#: What each role is for, beside its name.
ABOUT = {
    roles.OWNER: gettext_noop("everything, and decides about owners"),
    roles.ADMINISTRATOR: gettext_noop("everything but owners"),
    roles.OPERATOR: gettext_noop("tenants and operations, approvals too"),
    roles.FINANCE: gettext_noop("invoices, credits and budgets"),
    roles.VIEWER: gettext_noop("looks, changes nothing"),
    roles.CUSTOMER: gettext_noop("a customer's own: the pages of one tenant, nothing else"),
}


@page(roles.ADMIN, methods=("GET", "HEAD", "POST"))
def access(request: HttpRequest, principal: Principal) -> HttpResponse:
    """The list, and the form that invites: its answer shows the link, once."""
    access_require_team(principal)
    if request.method != "POST":
        return _access(request, principal, {}, {})
    values = {name: request.POST.get(name, "").strip()[:500] for name in ("email", "role", "tenants", "days")}

    def work() -> tuple[Invitation, str]:
        return invitation_create(
            principal=principal,
            email=values["email"],
            role=values["role"],
            tenant_ids=_limits(principal, values["tenants"]),
            days=int(values["days"]) if values["days"] in LIFETIMES else DEFAULT_DAYS,
            secret=secrets.token_urlsafe(32),
            now=clock.now(),
        )

    def refused(error: FreeholdError) -> HttpResponse:
        errors = problems_of(error)
        return _access(
            request, principal, values, errors or {"email": spoken(error.detail)}, status=error.status
        )

    made = once_shown(request, principal, back=reverse("portal:access"), work=work, refused=refused)
    if isinstance(made, HttpResponse):
        return made
    return _access(request, principal, {}, {}, issued=issued_shown(*made))


def issued_shown(invitation: Invitation, token: str) -> dict[str, Any]:
    """What _invitation_issued.html shows, once."""
    return {"invitation": invitation, "link": invitation_link(token), "mailed": email_goes_out()}


@page(roles.ADMIN, methods=("POST",))
def member_change(request: HttpRequest, principal: Principal, user_id: UUID) -> HttpResponse:
    back = reverse("portal:access")

    def work() -> str:
        member = member_role_set(
            principal=principal,
            user_id=user_id,
            role=request.POST.get("role", ""),
            tenant_ids=_limits(principal, request.POST.get("tenants", "")[:500]),
            now=clock.now(),
        )
        told = {"email": member.user.email, "role": word_text(member.role)}
        messages.success(request, gettext("%(email)s is %(role)s from the next request on.") % told)
        return back

    return act(request, principal, back=back, work=work)


@page(roles.ADMIN, methods=("POST",))
def member_take_off(request: HttpRequest, principal: Principal, user_id: UUID) -> HttpResponse:
    back = reverse("portal:access")

    def work() -> str:
        revoked = member_remove(
            principal=principal,
            user_id=user_id,
            revoke_keys=request.POST.get("keys") == "on",
            spared=runtime_key_ids(team_id=principal.team_id),
            now=clock.now(),
        )
        said = gettext("They are off the team, from the next request on.")
        if revoked:
            keys = gettext("%(number)d of their API keys were revoked.") % {"number": revoked}
            said = f"{said} {keys}"
        messages.success(request, said)
        return back

    return act(request, principal, back=back, work=work)


@page(roles.ADMIN, methods=("POST",))
def invitation_again(request: HttpRequest, principal: Principal, invitation_id: UUID) -> HttpResponse:
    """A fresh link in place of the one before, shown once on this answer."""

    def work() -> tuple[Invitation, str]:
        return invitation_resend(
            principal=principal,
            invitation_id=invitation_id,
            secret=secrets.token_urlsafe(32),
            now=clock.now(),
        )

    made = once_shown(request, principal, back=reverse("portal:access"), work=work)
    if isinstance(made, HttpResponse):
        return made
    return _access(request, principal, {}, {}, issued=issued_shown(*made))


@page(roles.ADMIN, methods=("POST",))
def invitation_end(request: HttpRequest, principal: Principal, invitation_id: UUID) -> HttpResponse:
    back = reverse("portal:access")

    def work() -> str:
        invitation_revoke(principal=principal, invitation_id=invitation_id, now=clock.now())
        messages.success(request, gettext("The invitation was revoked: its link lets nobody in."))
        return back

    return act(request, principal, back=back, work=work)


def _access(
    request: HttpRequest,
    principal: Principal,
    values: dict[str, str],
    errors: dict[str, str],
    *,
    issued: dict[str, Any] | None = None,
    status: int = 200,
) -> HttpResponse:
    found = page_of(members_of(team_id=principal.team_id), request.GET)
    invited = list(invitations_open(team_id=principal.team_id, now=clock.now()))
    limited = {pk for row in (*found.object_list, *invited) for pk in row.tenant_ids or ()}
    slugs: dict[UUID, str] = {}
    if limited:
        visible = tenants_visible(principal=principal).filter(pk__in=limited)
        slugs = dict(visible.values_list("pk", "slug"))
    grantable = roles_grantable(principal.role)
    context = {
        "found": found,
        "rows": [
            {
                "member": member,
                "tenants": _slugs(member.tenant_ids, slugs),
                "own": member.user_id == principal.user_id,
                "mine": member.role in grantable,
            }
            for member in found.object_list
        ],
        "invited": [{"invitation": row, "tenants": _slugs(row.tenant_ids, slugs)} for row in invited],
        "roles": [(role, gettext(ABOUT[role])) for role in roles.ROLES if role in grantable],
        "lifetimes": {days: gettext(text) for days, text in LIFETIMES.items()},
        "default_days": str(DEFAULT_DAYS),
        "values": values,
        "errors": errors,
        "issued": issued,
    }
    return show(
        request,
        principal,
        "portal/access.html",
        context,
        section="access",
        crumbs=((gettext("Members"), ""),),
        status=status,
    )


def _limits(principal: Principal, text: str) -> list[UUID] | None:
    """Slugs between commas or blanks; none at all is every tenant. Raises ValidationFailed naming unknown ones."""
    slugs = set(text.replace(",", " ").split())
    if not slugs:
        return None
    found = dict(tenants_visible(principal=principal).filter(slug__in=slugs).values_list("pk", "slug"))
    if unknown := sorted(slugs - set(found.values())):
        raise ValidationFailed.of(
            "tenants", gettext("there is no tenant %(slugs)s") % {"slugs": ", ".join(unknown)}
        )
    return list(found)


def _slugs(ids: list[UUID] | None, slugs: dict[UUID, str]) -> list[str] | None:
    return None if ids is None else [slugs.get(pk, str(pk)) for pk in ids]
