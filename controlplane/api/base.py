"""What every endpoint shares: the principal, scopes by method, checked input, idempotency, pages."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db.models import Model, Q, QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from controlplane.accounts.access import Principal, access_require
from controlplane.api.document import Document
from controlplane.api.idempotency import Answer, idempotent, request_fingerprint
from controlplane.api.limits import PrincipalThrottle, limit_headers_set
from controlplane.core import clock
from controlplane.core.errors import CallerError, ValidationFailed

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


class Api(APIView):
    """Base of every operation of the API. `scopes` maps a method to the scope it needs; one not listed is refused
    by the framework as an unknown method."""

    scopes: ClassVar[dict[str, str]] = {}
    throttle_classes = [PrincipalThrottle]
    schema = Document()

    @property
    def principal(self) -> Principal:
        user: Any = self.request.user
        assert isinstance(user, Principal)
        return user

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        # Postgres cannot store NUL in text, and no name, slug or note has one.
        if "\x00" in request.get_full_path() or "%00" in request.get_full_path():
            raise CallerError("The address holds a NUL character.", code="nul_character")
        # HEAD is answered by the same code as GET.
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method in self.scopes:
            access_require(self.principal, self.scopes[method])
        _body_read(request)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        answer = super().finalize_response(request, response, *args, **kwargs)
        limit_headers_set(request, answer)
        # Answers are one team's data, and the portal's downloads are among them: no cache may keep them.
        if not answer.has_header("Cache-Control"):
            answer.headers["Cache-Control"] = "no-store"
        return answer

    def checked(
        self, serializer: type[serializers.Serializer[Any]], *, partial: bool = False
    ) -> dict[str, Any]:
        """The request's body through a serializer; ValidationFailed (422) with a pointer for each wrong field."""
        try:
            body = self.request.data
            if not isinstance(body, dict):
                raise ValidationFailed.of("/", "the body must be a JSON object")
            if not _storable(body):
                raise ValidationFailed.of("/", "the body holds a NUL character or half a surrogate pair")
        except RecursionError as error:
            raise CallerError("The body is nested too deeply.", code="malformed_body") from error
        bound = serializer(data=body, partial=partial)
        unknown = sorted(set(body) - set(bound.fields))
        if unknown:
            raise ValidationFailed(
                f"Unknown fields: {', '.join(unknown)[:300]}.",
                errors=[{"pointer": f"/{name[:80]}", "detail": "is not a known field"} for name in unknown],
                hint=f"Known: {', '.join(sorted(bound.fields))}.",
            )
        bound.is_valid(raise_exception=True)
        return dict(bound.validated_data)

    def once(self, work: "Any", *, besides: bytes = b"") -> Response:
        """Runs `work` (a callable giving an Answer) under the request's Idempotency-Key, if it has one.
        `besides` is what else, beside the body, makes the request what it is."""
        key = self.request.headers.get("Idempotency-Key")
        if key is None:
            answer: Answer = work()
        else:
            fingerprint = request_fingerprint(
                method=str(self.request.method),
                path=self.request.path,
                body=self.request._request.body,
                besides=besides,
            )
            answer = idempotent(
                principal=self.principal, key=key, fingerprint=fingerprint, now=clock.now(), work=work
            )
        return Response(answer.body, status=answer.status, headers=answer.headers)

    def page(self, queryset: QuerySet[Any]) -> tuple[list[Any], dict[str, str | None]]:
        """One page, newest first, by a cursor over (created_at, id); and the links to its neighbours."""
        return cursor_page(self.request, queryset)


def _body_read(request: Request) -> None:
    """Reads the body before anything is decided by it, so that the parsers, Idempotency-Key and the limit of its
    size see the same bytes; a chunked body tells no length beforehand, and DRF would take it for none."""
    body = request._request.body
    if len(body) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        raise RequestDataTooBig
    request.META["CONTENT_LENGTH"] = str(len(body))


def _storable(value: Any) -> bool:
    """Whether Postgres can keep every text in it: no NUL, nothing that UTF-8 cannot say."""
    if isinstance(value, str):
        return "\x00" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, dict):
        return all(_storable(key) and _storable(item) for key, item in value.items())
    if isinstance(value, list):
        return all(_storable(item) for item in value)
    return True


def whole_number(raw: str) -> int | None:
    """A number as a parameter gives it; None for anything else, and for more than a row's number can be."""
    return int(raw) if raw.isascii() and raw.isdigit() and len(raw) <= 18 else None


def choice_of(request: Request, name: str, choices: Sequence[str]) -> str | None:
    """A parameter that has fixed choices; None where it is absent or empty."""
    value = request.query_params.get(name) or None
    if value is not None and value not in choices:
        raise ValidationFailed.of(name, f"must be one of {', '.join(choices)}")
    return value


def etags_wanted(request: Request) -> list[str] | None:
    """The versions that If-Match accepts; None where any will do."""
    raw = request.headers.get("If-Match")
    return None if raw is None or raw.strip() == "*" else [tag.strip() for tag in raw.split(",")]


def limit_of(request: Request) -> int:
    return limit_read(request.query_params)


def limit_read(parameters: Mapping[str, str], *, default: int = DEFAULT_LIMIT) -> int:
    limit = whole_number(parameters.get("limit", str(default)))
    if limit is None or not 1 <= limit <= MAX_LIMIT:
        raise ValidationFailed.of("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
    return limit


def cursor_page(request: Request, queryset: QuerySet[Any]) -> tuple[list[Any], dict[str, str | None]]:
    limit = limit_of(request)
    direction, position = _cursor_read(request.query_params.get("cursor"))
    found = queryset
    if position is not None:
        at, pk = position
        later = Q(created_at__gt=at) | Q(created_at=at, pk__gt=pk)
        earlier = Q(created_at__lt=at) | Q(created_at=at, pk__lt=pk)
        found = found.filter(later if direction == "p" else earlier)
    order = ("created_at", "pk") if direction == "p" else ("-created_at", "-pk")
    rows: list[Any] = list(found.order_by(*order)[: limit + 1])
    more, rows = len(rows) > limit, rows[:limit]
    if direction == "p":
        rows.reverse()
    has_next = bool(rows) and (more if direction == "n" else position is not None)
    has_previous = bool(rows) and (position is not None if direction == "n" else more)
    return rows, {
        "next": _link(request, "n", rows[-1]) if has_next else None,
        "previous": _link(request, "p", rows[0]) if has_previous else None,
    }


def _link(request: Request, direction: str, row: Model) -> str:
    created: Any = getattr(row, "created_at", None)
    raw = json.dumps([direction, created.isoformat(), str(row.pk)]).encode()
    query = request.query_params.copy()
    query["cursor"] = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")


def _cursor_read(raw: str | None) -> tuple[str, tuple[Any, Any] | None]:
    from datetime import datetime
    from uuid import UUID

    if raw is None:
        return "n", None
    try:
        direction, at, pk = json.loads(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)))
        if direction not in ("n", "p"):
            raise ValueError
        return direction, (datetime.fromisoformat(at), UUID(pk))
    except (ValueError, TypeError) as error:
        raise ValidationFailed.of(
            "cursor", "is not a cursor of ours; follow `next` and `previous` as given"
        ) from error
