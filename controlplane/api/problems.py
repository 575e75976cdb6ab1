"""Every error of the API as an RFC 9457 problem document."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.core.errors import FieldProblem, FreeholdError, RetryLater

log = structlog.get_logger()
CONTENT_TYPE = "application/problem+json"


def problem_document(
    *,
    status: int,
    code: str,
    title: str,
    detail: str,
    hint: str = "",
    errors: list[FieldProblem] | None = None,
    extra: Mapping[str, Any] | None = None,
    request_id: str = "",
) -> dict[str, Any]:
    """{type, title, status, detail, code, hint?, errors?, request_id?} and what the error itself adds."""
    document: dict[str, Any] = {
        "type": f"https://freehold.dev/problems/{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if hint:
        document["hint"] = hint
    if errors:
        document["errors"] = errors
    if request_id:
        document["request_id"] = request_id
    return {**dict(extra or {}), **document}


def problem_of(error: Exception, *, request_id: str = "") -> tuple[dict[str, Any], dict[str, str]]:
    """The document and the headers of any exception. An unexpected one says nothing of its inside."""
    if isinstance(error, OperationalError | InterfaceError):
        # Down, out of connections, a lock not had in time: the transaction is undone, so it may be repeated.
        log.warning("api.database_unavailable", error=type(error).__name__, exc_info=error)
        error = RetryLater("The database does not answer at the moment.", code="database_unavailable")
    if isinstance(error, FreeholdError):
        document = problem_document(
            status=error.status,
            code=error.code,
            title=error.title,
            detail=error.detail,
            hint=error.hint,
            errors=error.errors,
            extra=error.extra,
            request_id=request_id,
        )
        headers = {"Retry-After": "5"} if isinstance(error, RetryLater) else {}
        if error.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="freehold"'
        return document, headers
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    if isinstance(error, DjangoPermissionDenied):
        error = exceptions.PermissionDenied()
    if isinstance(error, RequestDataTooBig):
        return (
            problem_document(
                status=413,
                code="body_too_large",
                title="The body is too large",
                detail="The body is larger than 4 MiB.",
                request_id=request_id,
            ),
            {},
        )
    if isinstance(error, exceptions.APIException):
        return _framework_problem(error, request_id)
    log.error("api.unexpected", error=type(error).__name__, exc_info=error)
    return (
        problem_document(
            status=500,
            code="internal_error",
            title="Something went wrong inside Freehold",
            detail="The failure was logged with this request's id.",
            hint="Try again; if it repeats, tell the operator the request id.",
            request_id=request_id,
        ),
        {},
    )


def _framework_problem(
    error: exceptions.APIException, request_id: str
) -> tuple[dict[str, Any], dict[str, str]]:
    status = int(error.status_code)
    if isinstance(error, exceptions.ValidationError):
        errors = list(_field_problems(error.detail, ""))
        detail = "; ".join(f"{e['pointer'].lstrip('/')}: {e['detail']}" for e in errors)
        document = problem_document(
            status=422,
            code="validation_failed",
            title="Some fields are not valid",
            detail=detail,
            errors=errors,
            request_id=request_id,
        )
        return document, {}
    codes = {400: "malformed_body", 401: "not_authenticated", 404: "not_found", 405: "method_not_allowed"}
    codes |= {
        403: "permission_denied",
        406: "not_acceptable",
        415: "unsupported_media_type",
        429: "rate_limited",
    }
    headers = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = str(error.auth_header)  # type: ignore[attr-defined]
    if getattr(error, "wait", None):
        headers["Retry-After"] = str(math.ceil(error.wait))  # type: ignore[attr-defined]
    document = problem_document(
        status=status,
        code=codes.get(status, "bad_request"),
        title=HTTPStatus(status).phrase,
        detail=str(error.detail),
        request_id=request_id,
    )
    return document, headers


def _field_problems(detail: Any, pointer: str) -> "list[FieldProblem]":
    if isinstance(detail, Mapping):
        return [
            problem
            for key, value in detail.items()
            for problem in _field_problems(
                value, pointer if key == "non_field_errors" else f"{pointer}/{key}"
            )
        ]
    if isinstance(detail, list):
        found: list[FieldProblem] = []
        for index, value in enumerate(detail):
            nested = isinstance(value, Mapping | list)
            found += _field_problems(value, f"{pointer}/{index}" if nested else pointer)
        return found
    return [{"pointer": pointer or "/", "detail": str(detail)}]


def problem_exception_handler(exc: Exception, context: dict[str, Any]) -> Response:
    """DRF's hook. Everything a view raises ends here, expected or not."""
    request: Request = context["request"]
    document, headers = problem_of(exc, request_id=str(request.META.get("freehold.request_id", "")))
    response = Response(document, status=document["status"], headers=headers)
    response.content_type = CONTENT_TYPE
    return response


def problem_json_response(error: Exception, request: HttpRequest) -> JsonResponse:
    """For views outside DRF (the event stream)."""
    document, headers = problem_of(error, request_id=str(request.META.get("freehold.request_id", "")))
    return JsonResponse(document, status=document["status"], headers=headers, content_type=CONTENT_TYPE)
