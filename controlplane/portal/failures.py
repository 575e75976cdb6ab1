"""Every code a failed operation can have: its cause, the next step and a command: the runbook, where it is needed."""

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from controlplane.accounts import roles
from controlplane.accounts.access import Principal
from controlplane.operations.causes import CAUSES
from controlplane.portal.pages import page, show


@page(roles.OPERATIONS_READ)
def failures(request: HttpRequest, principal: Principal) -> HttpResponse:
    context = {"causes": sorted(CAUSES, key=lambda cause: cause.code)}
    return show(
        request,
        principal,
        "portal/failures.html",
        context,
        section="operations",
        crumbs=(("Operations", reverse("portal:operations")), ("Failure codes", "")),
    )
