"""Errors that never reach a view of ours: the API answers with problem details, pages with a designed page."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext

from controlplane.core.arrival import form_page

#: Pages of those who hold a link: a tenant's own people, and people who are invited.
_OUTSIDE = ("/shared/", "/join/")


def failure_response(
    request: HttpRequest,
    *,
    status: int,
    code: str,
    title: str,
    detail: str,
    hint: str = "",
    back: str = "",
    outside: bool = False,
) -> HttpResponse:
    """A problem document under /api/, a page elsewhere; `back` is the page of the form that was refused. `outside`: to
    somebody who has no business in the portal, and is shown no way into it."""
    request_id = str(request.META.get("freehold.request_id", ""))
    if request.path.startswith("/api/") or request.headers.get("Accept", "").startswith("application/json"):
        body = {
            "type": f"https://freehold.dev/problems/{code}",
            "title": title,
            "status": status,
            "detail": detail,
            "code": code,
            "hint": hint,
            "request_id": request_id,
        }
        return JsonResponse(body, status=status, content_type="application/problem+json")
    context = {
        "code": code,
        "status": status,
        "title": title,
        "detail": detail,
        "hint": hint,
        "request_id": request_id,
        "back": back,
        "outside": outside or request.path.startswith(_OUTSIDE),
    }
    template = f"errors/{status if status in (403, 404) else 500}.html"
    return render(request, template, context, status=status)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return failure_response(
        request,
        status=404,
        code="not_found",
        title=gettext("Not found"),
        detail=gettext("There is nothing at this address, or not for you."),
        hint=gettext("Check the address; /api/docs/ lists the API's paths."),
    )


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return failure_response(
        request,
        status=403,
        code="permission_denied",
        title=gettext("Your role does not allow this"),
        detail=gettext("Nothing was changed."),
        hint=gettext("Ask an owner of your team."),
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return failure_response(
        request,
        status=400,
        code="bad_request",
        title=gettext("The request cannot be read"),
        detail=gettext("Nothing was changed."),
    )


def server_error(request: HttpRequest) -> HttpResponse:
    return failure_response(
        request,
        status=500,
        code="internal_error",
        title=gettext("Something went wrong inside Freehold"),
        detail=gettext("The failure was logged with this request's id."),
        hint=gettext("Try again; if it repeats, tell the operator the request id."),
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    back = form_page(request)
    return failure_response(
        request,
        status=403,
        code="csrf_failed",
        title=gettext("The form was too old or came from elsewhere"),
        detail=gettext("Nothing was changed."),
        hint=gettext("You signed in anew since it was opened. Open it again and send it once more.")
        if back
        else gettext("Reload the page and send the form again."),
        back=back,
    )
