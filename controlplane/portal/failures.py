"""Every code a failed operation can have: its cause, the next step and a command: the runbook, where it is needed."""

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext

from controlplane.accounts import roles
from controlplane.accounts.access import Principal
from controlplane.operations.causes import CAUSES, Cause
from controlplane.portal.pages import page, show
from controlplane.portal.spoken import spoken


def because(cause: Cause) -> str:
    """Its sentence by itself."""
    return f"{cause.sentence[:1].upper()}{cause.sentence[1:]}."


@page(roles.OPERATIONS_READ)
def failures(request: HttpRequest, principal: Principal) -> HttpResponse:
    context = {
        "causes": [
            {
                "code": cause.code,
                "sentence": spoken(because(cause)),
                "hint": spoken(cause.hint),
                "command": cause.command,
            }
            for cause in sorted(CAUSES, key=lambda cause: cause.code)
        ]
    }
    return show(
        request,
        principal,
        "portal/failures.html",
        context,
        section="operations",
        crumbs=((gettext("Operations"), reverse("portal:operations")), (gettext("Failure codes"), "")),
    )
