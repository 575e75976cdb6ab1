"""Where an invitation's link leads: somebody without an account yet chooses a password and is on the team."""

from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from controlplane.accounts.invitations import invitation_accept, invitation_follow
from controlplane.core import clock
from controlplane.core.errors import Conflict, FreeholdError, NotFound, ValidationFailed
from controlplane.portal.pages import failure
from controlplane.portal.spoken import problems_of, refusal

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@require_http_methods(["GET", "HEAD", "POST"])
def join(request: HttpRequest, token: str) -> HttpResponse:
    """Looking at it uses nothing up: mail programs follow links too."""
    try:
        response = _joined(request, token) if request.method == "POST" else _form(request, token, {})
    except FreeholdError as error:
        response = failure(request, error)
    # The address is what lets people in.
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    response.headers["Referrer-Policy"] = "same-origin"
    return response


def _joined(request: HttpRequest, token: str) -> HttpResponse:
    name, password = request.POST.get("name", "")[:200], request.POST.get("password", "")
    if "\x00" in name + password:
        raise NotFound(gettext("There is nothing at this address."))
    if password != request.POST.get("again", ""):
        return _form(request, token, {"again": gettext("is not the same")}, status=422)
    try:
        user = invitation_accept(token=token, name=name, password=password, now=clock.now())
    except ValidationFailed as error:
        errors = problems_of(error)
        return _form(request, token, errors, status=422)
    except Conflict as error:
        return _form(request, token, {"": refusal(error)}, status=409)
    login(request, user, backend=BACKEND)
    messages.success(request, gettext("You are on the team. The link is used up; from now on you sign in."))
    return HttpResponseRedirect(reverse("portal:home"))


def _form(request: HttpRequest, token: str, errors: dict[str, str], *, status: int = 200) -> HttpResponse:
    context = {
        "invitation": invitation_follow(token=token, now=clock.now()),
        "name": request.POST.get("name", "")[:200],
        "errors": errors,
        "general": errors.get("", ""),
    }
    return render(request, "portal/join.html", context, status=status)
