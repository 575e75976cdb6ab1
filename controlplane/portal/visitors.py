"""A tenant's own people: who they are to the pages in customer_pages.py, whichever door they came by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Concatenate
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from controlplane.core.errors import NotFound

#: page -> its name in the navigation. billing/reports/links.py says which link opens which.
TITLES = {
    "usage": _("Usage"),
    "invoices": _("Invoices"),
    "health": _("Health"),
    "agents": _("Agents"),
}


@dataclass(frozen=True)
class Visitor:
    """`places` is page -> address, of those pages alone that they may see. `ends_at` is when their link does; None for
    somebody who signed in, as `email`."""

    team_id: UUID
    tenant_id: UUID
    places: Mapping[str, str]
    ends_at: datetime | None = None
    email: str = ""


CustomerPage = Callable[Concatenate[HttpRequest, Visitor, ...], HttpResponse]


def visitor_require(visitor: Visitor, page: str) -> None:
    """Raises NotFound for a page that is not theirs."""
    if page not in visitor.places:
        raise NotFound(
            "There is nothing at this address for you.", hint="Ask whoever gave you access for a wider one."
        )


def visitor_show(
    request: HttpRequest, visitor: Visitor, template: str, context: Mapping[str, Any], *, page: str
) -> HttpResponse:
    nav = [
        {"key": key, "title": title, "url": visitor.places[key]}
        for key, title in TITLES.items()
        if key in visitor.places
    ]
    frame = {"visitor": visitor, "nav": nav, "page": page}
    return render(request, template, {**frame, **context})
