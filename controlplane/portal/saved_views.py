"""Saved views: links above a list, and the page where they are made and deleted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from controlplane.accounts import roles
from controlplane.accounts.access import Principal
from controlplane.accounts.models import SavedView
from controlplane.accounts.saved_views import MOST_NAME, saved_view_create, saved_view_delete
from controlplane.accounts.selectors import saved_view_removable, saved_views_visible
from controlplane.core import clock
from controlplane.core.errors import Conflict, NotFound, ValidationFailed
from controlplane.portal.pages import act, once, page, show
from controlplane.portal.spoken import problems_of, refusal


@dataclass(frozen=True)
class SavedList:
    """A list whose views may be saved: its page, and what of its address makes a view."""

    title: str | Promise
    route: str
    names: tuple[str, ...]


LISTS: Final[Mapping[str, SavedList]] = {
    "tenants": SavedList(
        gettext_lazy("Tenants"), "portal:tenants", ("q", "lifecycle", "health", "plan", "sort")
    ),
    "operations": SavedList(gettext_lazy("Operations"), "portal:operations", ("state", "kind", "tenant")),
}


def query_of(subject: str, params: QueryDict) -> str:
    """What of the address is kept, always in the same order, so that equal views are equal text."""
    named = [(name, params.get(name, "")[:200]) for name in LISTS[subject].names]
    return urlencode([(name, value) for name, value in named if value and "\x00" not in value])


def saved_views_bar(principal: Principal, subject: str, params: QueryDict) -> dict[str, Any]:
    """What `_saved_views.html` shows above a list."""
    here = query_of(subject, params)
    views = [
        {"view": view, "link": _link(view), "current": view.query == here}
        for view in saved_views_visible(principal=principal).filter(subject=subject)
    ]
    known = any(entry["current"] for entry in views)
    save = (
        f"{reverse('portal:saved-views')}?{urlencode({'list': subject})}&{here}" if here and not known else ""
    )
    return {"saved_views": views, "save_view": save}


@page(roles.TENANTS_READ, methods=("GET", "HEAD", "POST"))
def saved_views(request: HttpRequest, principal: Principal) -> HttpResponse:
    """All that the person sees; with a list's address also the form that saves it."""
    if request.method != "POST":
        subject = request.GET.get("list", "")
        query = query_of(subject, request.GET) if subject in LISTS else ""
        return _page(request, principal, {"list": subject if query else "", "query": query}, {})
    subject = request.POST.get("list", "")
    if subject not in LISTS:
        raise NotFound("There is no such list.")
    values = {
        "list": subject,
        "query": query_of(subject, QueryDict(request.POST.get("query", "")[:2000])),
        "name": request.POST.get("name", "")[:200],
        "shared": "on" if request.POST.get("shared") == "on" else "",
    }

    def work() -> str:
        view = saved_view_create(
            principal=principal,
            subject=subject,
            name=values["name"],
            query=values["query"],
            shared=bool(values["shared"]),
            now=clock.now(),
        )
        messages.success(request, _("The view %(name)s was saved.") % {"name": view.name})
        return _link(view)

    try:
        return once(request, principal, work)
    except (ValidationFailed, Conflict) as error:
        errors = problems_of(error)
        return _page(
            request,
            principal,
            values,
            errors or {"name": refusal(error)},
            status=error.status,
        )


@page(roles.TENANTS_READ, methods=("POST",))
def saved_view_remove(request: HttpRequest, principal: Principal, view_id: UUID) -> HttpResponse:
    back = reverse("portal:saved-views")

    def work() -> str:
        view = saved_view_delete(principal=principal, view_id=view_id, now=clock.now())
        messages.success(request, _("The view %(name)s was deleted.") % {"name": view.name})
        return back

    return act(request, principal, back=back, work=work)


def _link(view: SavedView) -> str:
    return f"{reverse(LISTS[view.subject].route)}?{view.query}"


def _page(
    request: HttpRequest,
    principal: Principal,
    values: dict[str, str],
    errors: dict[str, str],
    *,
    status: int = 200,
) -> HttpResponse:
    rows = [
        {
            "view": view,
            "link": _link(view),
            "list": LISTS[view.subject].title,
            "parts": [(name, value) for name, value in QueryDict(view.query).items()],
            "own": view.user_id == principal.user_id,
            "removable": saved_view_removable(view, principal=principal),
        }
        for view in saved_views_visible(principal=principal)
        if view.subject in LISTS
    ]
    context = {
        "rows": rows,
        "values": values,
        "errors": errors,
        "saves": LISTS[values["list"]].title if values.get("list") else "",
        "parts": list(QueryDict(values.get("query", "")).items()),
        "most_name": MOST_NAME,
    }
    return show(
        request,
        principal,
        "portal/saved_views.html",
        context,
        section="preferences",
        crumbs=((_("Preferences"), reverse("portal:preferences")), (_("Saved views"), "")),
        status=status,
    )
