"""Finding by a few letters: tenants, their tabs, operations, pages, actions. One answer for the palette and the page.

Whoever asks gets what they could open: tenants and operations by the selectors of their lists, the rest by ability.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from django.db.models import CharField
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from controlplane.accounts import roles
from controlplane.accounts.access import Principal
from controlplane.operations.selectors import operations_visible
from controlplane.portal.pages import abilities, page, show
from controlplane.portal.tenants import TABS
from controlplane.portal.words import kind_text, word_text
from controlplane.tenants.selectors import tenants_search

Text = str | Promise

TENANTS: Final = gettext_lazy("Tenants")
OPERATIONS: Final = gettext_lazy("Operations")
PAGES: Final = gettext_lazy("Pages")
ACTIONS: Final = gettext_lazy("Actions")
MOST_TENANTS: Final = 8
MOST_OPERATIONS: Final = 5
#: Of a tenant's tabs by "acme bil".
MOST_TABBED: Final = 3
#: Part of an operation's id, as lists show its end. Shorter ones would be words too.
_ID_PART: Final = re.compile(r"[0-9a-f-]{6,36}")


@dataclass(frozen=True)
class Hit:
    group: Text
    title: Text
    about: Text
    url: str
    icon: str


@dataclass(frozen=True)
class Place:
    """A page or an action. `needs` is an ability of the frame, or `bill_all`: of those without a limit to tenants;
    empty is everybody."""

    title: Text
    route: str
    needs: str = ""
    about: Text = ""


PLACES: Final = (
    Place(gettext_lazy("Overview"), "home"),
    Place(gettext_lazy("Tenants"), "tenants"),
    Place(gettext_lazy("Operations"), "operations"),
    Place(gettext_lazy("Invoices"), "invoices", "bill"),
    Place(gettext_lazy("Usage"), "usage", "bill"),
    Place(gettext_lazy("Budgets"), "budgets", "bill_all"),
    Place(gettext_lazy("Margin"), "margin", "bill_all"),
    Place(gettext_lazy("Audit"), "audit", "manage"),
    Place(gettext_lazy("Members"), "access", "manage"),
    Place(gettext_lazy("API keys"), "keys", "admin"),
    Place(gettext_lazy("Failure codes"), "failures"),
    Place(gettext_lazy("Saved views"), "saved-views"),
    Place(gettext_lazy("Preferences"), "preferences", about=gettext_lazy("time zone and language")),
)
DEEDS: Final = (
    Place(gettext_lazy("Onboard a tenant"), "tenant-new", "create", gettext_lazy("new customer, new stack")),
    Place(gettext_lazy("Invite somebody"), "access", "manage", gettext_lazy("a link to the team")),
    Place(gettext_lazy("Rotate an API key"), "keys", "admin"),
    Place(gettext_lazy("Verify the audit log"), "audit", "manage"),
)


def hits_of(principal: Principal, text: str) -> list[Hit]:
    """In groups, the likeliest first. Without text: the pages and the actions."""
    text = text.strip().lower()[:200]
    found: list[Hit] = []
    if text:
        found = [*_tenants(principal, text), *_tabs(principal, text), *_operations(principal, text)]
    can = abilities(principal)
    for group, icon, places in ((ACTIONS, "zap", DEEDS), (PAGES, "layers", PLACES)):
        found += [
            Hit(group, place.title, place.about, reverse(f"portal:{place.route}"), icon)
            for place in places
            if (not place.needs or can[place.needs]) and text in f"{place.title} {place.about}".lower()
        ]
    return found


def _tenants(principal: Principal, text: str) -> Iterator[Hit]:
    rows = tenants_search(principal=principal, filters={"q": text}).order_by("name", "pk")
    for slug, name, lifecycle in rows.values_list("slug", "name", "lifecycle")[:MOST_TENANTS]:
        about = f"{slug}, {word_text(lifecycle)}"
        yield Hit(TENANTS, name, about, reverse("portal:tenant", args=[slug]), "building-2")


def _tabs(principal: Principal, text: str) -> Iterator[Hit]:
    """`acme bil`: the tab of that tenant."""
    whose, _space, part = text.rpartition(" ")
    told = [(route, _(title)) for route, title in TABS[1:]]
    tabs = [(route, title) for route, title in told if part and title.lower().startswith(part)]
    if not whose or not tabs:
        return
    rows = tenants_search(principal=principal, filters={"q": whose}).order_by("name", "pk")
    for slug, name in rows.values_list("slug", "name")[:MOST_TABBED]:
        for route, title in tabs:
            yield Hit(
                TENANTS, f"{name}: {title}", slug, reverse(f"portal:{route}", args=[slug]), "arrow-right"
            )


def _operations(principal: Principal, text: str) -> Iterator[Hit]:
    if not _ID_PART.fullmatch(text):
        return
    rows = operations_visible(principal=principal).annotate(shown=Cast("pk", CharField()))
    rows = rows.filter(shown__contains=text).order_by("-created_at", "-pk")
    for pk, kind, state, slug in rows.values_list("pk", "kind", "state", "tenant__slug")[:MOST_OPERATIONS]:
        title = f"{kind_text(kind)} {slug}"
        about = f"…{str(pk)[-12:]}, {word_text(state)}"
        yield Hit(OPERATIONS, title, about, reverse("portal:operation", args=[pk]), "workflow")


def _context(principal: Principal, request: HttpRequest) -> dict[str, object]:
    text = request.GET.get("q", "")[:200]
    found = hits_of(principal, text)
    # One number each over all groups: options of a listbox are told apart by their ids.
    numbered: Sequence[tuple[int, Hit]] = list(enumerate(found))
    groups = [(group, list(rows)) for group, rows in groupby(numbered, key=lambda row: str(row[1].group))]
    return {"q": text, "groups": groups, "number": len(found)}


@page(roles.TENANTS_READ)
def search(request: HttpRequest, principal: Principal) -> HttpResponse:
    return show(
        request,
        principal,
        "portal/search.html",
        _context(principal, request),
        section="search",
        crumbs=((_("Search"), ""),),
    )


@page(roles.TENANTS_READ)
def search_hits(request: HttpRequest, principal: Principal) -> HttpResponse:
    """The same as options of the palette's list."""
    return render(request, "portal/_search_hits.html", _context(principal, request))
