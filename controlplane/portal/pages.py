"""What every page shares: who asks, the frame around the answer, and forms that act once."""

import hashlib
from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlencode
from uuid import uuid4

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.db.models import Count, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext

from controlplane.accounts import roles
from controlplane.accounts.access import Principal, access_allows, access_require
from controlplane.accounts.models import Team, User
from controlplane.accounts.selectors import customer_of_user, principal_of_user
from controlplane.api.idempotency import Answer, idempotent
from controlplane.core import clock
from controlplane.core.arrival import form_page
from controlplane.core.errors import FreeholdError, NotFound, PermissionDenied
from controlplane.core.failures import failure_response
from controlplane.operations import states as operation_states
from controlplane.operations.selectors import operations_visible
from controlplane.portal.spoken import refusal, spoken

P = ParamSpec("P")
T = TypeVar("T")
View = Callable[Concatenate[HttpRequest, Principal, P], HttpResponse]

#: What the frame asks of a principal: name in templates -> scope.
CAN = {
    "write": roles.TENANTS_WRITE,
    "operate": roles.OPERATIONS_WRITE,
    "approve": roles.OPERATIONS_APPROVE,
    "bill": roles.BILLING_READ,
    "admin": roles.ADMIN,
}


def page(
    scope: str, *, methods: tuple[str, ...] = ("GET", "HEAD")
) -> Callable[[View[P]], Callable[Concatenate[HttpRequest, P], HttpResponse]]:
    """A page for those who hold `scope`. Visitors are sent to sign in; refusals become designed pages."""

    def decorate(view: View[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
        def answer(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if not isinstance(request.user, User) or not request.user.is_active:
                return sign_in_first(request)
            try:
                principal = principal_of_user(user=request.user)
                if principal is None and customer_of_user(user=request.user) is not None:
                    return _customer_answer(request)
                if principal is None:
                    raise PermissionDenied(
                        "You belong to no team yet.", hint="Ask an owner to add you to theirs."
                    )
                if request.method not in methods:
                    return _form_only(request)
                _no_nul(request)
                access_require(principal, scope)
                response = view(request, principal, *args, **kwargs)
            except FreeholdError as error:
                if isinstance(error, NotFound):  # its hint speaks to callers of the API
                    error.hint = gettext("Check the address, or search the tenants you can see.")
                response = failure(request, error)
            # Pages show one team's data: no shared cache may keep them, nor a browser after sign-out.
            response.headers.setdefault("Cache-Control", "no-store")
            return response

        update_wrapper(answer, view)
        answer.methods = methods  # type: ignore[attr-defined]  # controlplane.core.arrival asks
        return answer

    return decorate


def sign_in_first(request: HttpRequest) -> HttpResponse:
    """On to the sign-in, and from there to what was asked for. A form is not sent again by that: the way leads back
    to its page, and the sign-in says that nothing was done."""
    if request.method in ("GET", "HEAD"):
        return redirect_to_login(request.get_full_path())
    asked = {"next": form_page(request) or reverse("portal:home"), "ended": "1"}
    return HttpResponseRedirect(f"{reverse('account_login')}?{urlencode(asked)}")


def _customer_answer(request: HttpRequest) -> HttpResponse:
    """A tenant's own people are led to their pages from the front door; to them there is nothing else."""
    if request.path == reverse("portal:home") and request.method in ("GET", "HEAD"):
        return HttpResponseRedirect(reverse("portal:customer-usage"))
    response = failure(
        request,
        NotFound(
            gettext("There is nothing at this address for you."),
            hint=gettext("Your own pages begin at /customer/usage/."),
        ),
        outside=True,
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def _form_only(request: HttpRequest) -> HttpResponse:
    told = NotFound(gettext("There is nothing here to read."), hint=gettext("Go back and use the form."))
    response = failure(request, told)
    response.headers["Cache-Control"] = "no-store"
    return response


def _no_nul(request: HttpRequest) -> None:
    # Postgres cannot store NUL in text, and nothing that we name has one.
    if "%00" in request.get_full_path() or any("\x00" in value for value in request.POST.values()):
        raise NotFound(gettext("There is nothing at this address."))


def failure(request: HttpRequest, error: FreeholdError, *, outside: bool = False) -> HttpResponse:
    return failure_response(
        request,
        status=error.status,
        code=error.code,
        title=spoken(error.title),
        detail=spoken(error.detail),
        hint=spoken(error.hint),
        outside=outside,
    )


def abilities(principal: Principal) -> dict[str, bool]:
    held = {name: access_allows(principal, scope) for name, scope in CAN.items()}
    whole = principal.tenant_ids is None
    # What concerns the whole team is not offered to those who are limited to some tenants.
    return {
        **held,
        "create": held["write"] and whole,
        "manage": held["admin"] and whole,
        "bill_all": held["bill"] and whole,
    }


def show(
    request: HttpRequest,
    principal: Principal,
    template: str,
    context: Mapping[str, Any],
    *,
    section: str,
    crumbs: tuple[tuple[str, str], ...] = (),
    status: int = 200,
) -> HttpResponse:
    """The page in its frame. `crumbs` are (text, url); the last one has no url."""
    team = _team(principal)
    frame = {
        "section": section,
        "crumbs": crumbs,
        "can": abilities(principal),
        "team": team,
        "role": principal.role,
        "open_operations": getattr(team, "open_operations", 0),
        "form_key": str(uuid4()),
        "now": clock.now(),
        "zone_source": request.META.get("freehold.zone_source", ""),
    }
    return render(request, template, {**frame, **context}, status=status)


def _team(principal: Principal) -> Team | None:
    """With the number of its open operations that the principal sees."""
    opened = operations_visible(principal=principal).filter(state__in=operation_states.OPEN).order_by()
    number = opened.values("tenant__team_id").annotate(number=Count("pk")).values("number")
    counted = Coalesce(Subquery(number), 0)
    return Team.objects.filter(pk=principal.team_id).annotate(open_operations=counted).first()


def once(request: HttpRequest, principal: Principal, work: Callable[[], str]) -> HttpResponse:
    """Runs `work` (which returns where to go next) once per rendered form, so a double click acts once.

    Raises what `work` raises; then nothing is remembered, and the form may be sent again.
    """
    key = request.POST.get("form_key", "")
    if not key:
        return HttpResponseRedirect(work())
    # A password is no part of what is asked for, and not even its hash is to be stored.
    fields = sorted(
        (name, value)
        for name, value in request.POST.items()
        if name not in ("csrfmiddlewaretoken", "password")
    )
    fingerprint = hashlib.sha256(repr((request.path, fields)).encode()).hexdigest()
    answer = idempotent(
        principal=principal,
        key=f"form:{key}"[:255],
        fingerprint=fingerprint,
        now=clock.now(),
        work=lambda: Answer(303, {"location": work()}, {}),
    )
    return HttpResponseRedirect(answer.body["location"])


def once_shown(
    request: HttpRequest,
    principal: Principal,
    *,
    back: str,
    work: Callable[[], T],
    refused: Callable[[FreeholdError], HttpResponse] | None = None,
) -> T | HttpResponse:
    """What `work` made, for the answer that shows it: that one alone. The same form sent again (a reload) makes nothing
    and leads back, saying so; a refusal is `refused`'s to show, or is said after the way back."""
    made: list[T] = []

    def make() -> str:
        made.append(work())
        return back

    try:
        # Only the address is remembered of it, never what was made.
        response = once(request, principal, make)
    except FreeholdError as error:
        return _refused(request, error, back, refused)
    if made:
        return made[0]
    messages.error(
        request, gettext("This was shown once and is not stored. If it was not copied, make a new one.")
    )
    return response


def act(request: HttpRequest, principal: Principal, *, back: str, work: Callable[[], str]) -> HttpResponse:
    """A form that changes something: on to where `work` says, or back with the reason it was refused."""
    try:
        return once(request, principal, work)
    except FreeholdError as error:
        return _refused(request, error, back)


def _refused(
    request: HttpRequest,
    error: FreeholdError,
    back: str,
    shown: Callable[[FreeholdError], HttpResponse] | None = None,
) -> HttpResponse:
    """What is not there, or not this person's, is a page of its own; other refusals are told at the form."""
    if isinstance(error, (NotFound, PermissionDenied)):
        raise error
    if shown is not None:
        return shown(error)
    messages.error(request, refusal(error))
    return HttpResponseRedirect(back)
