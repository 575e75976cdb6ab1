"""What the OpenAPI document says of every path: who may call, which headers come back, which problems there are."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from controlplane.api.problems import CONTENT_TYPE
from controlplane.api.shapes import ProblemShape

F = TypeVar("F", bound=Callable[..., Any])

PROBLEMS = {
    400: "The request cannot be read (`malformed_body`, `nul_character`).",
    401: "No credentials, or not valid ones (`not_authenticated`, `invalid_api_key`).",
    403: "The role or key lacks the scope (`permission_denied`), or the CSRF token is missing.",
    404: "It does not exist, or belongs to others (`not_found`).",
    406: "Only application/json is answered (`not_acceptable`).",
    409: "The state does not allow it now, or the first request with this Idempotency-Key still runs.",
    412: "It changed since it was read (`precondition_failed`).",
    413: "The body is larger than 4 MiB (`body_too_large`).",
    415: "The body's media type is not accepted (`unsupported_media_type`).",
    422: "Parameters or fields are not valid; `errors` names each.",
    429: "Too many requests in this minute (`rate_limited`); Retry-After says how long to wait.",
    503: "Not available at the moment; Retry-After says when to try again.",
}
#: What every path can answer, once its method and address are right.
ALWAYS = (400, 401, 403, 406, 429)
BODY = (413, 415, 422)


def _header(name: str, description: str, statuses: list[int] | bool, type: Any = OpenApiTypes.STR) -> Any:
    return OpenApiParameter(
        name,
        type,
        OpenApiParameter.HEADER,
        response=statuses,
        description=description,
    )


ANSWER_HEADERS = (
    _header("X-Request-Id", "the request's id, yours if you sent one", True),
    _header(
        "RateLimit-Limit", "requests in this minute; absent before authentication", True, OpenApiTypes.INT
    ),
    _header("RateLimit-Remaining", "how many are left", True, OpenApiTypes.INT),
    _header("RateLimit-Reset", "seconds until the count starts anew", True, OpenApiTypes.INT),
    _header("Retry-After", "seconds to wait", [429, 503], OpenApiTypes.INT),
)


def location(description: str) -> Any:
    return _header("Location", description, [202])


LOCATION = location("the operation to follow")
ETAG = _header("ETag", "the version of what was read, for If-Match", [200, 202])


def query(name: str, description: str, type: Any = OpenApiTypes.STR, **kwargs: Any) -> OpenApiParameter:
    return OpenApiParameter(name, type, OpenApiParameter.QUERY, description=description, **kwargs)


def in_path(name: str, description: str, type: Any = OpenApiTypes.STR, **kwargs: Any) -> OpenApiParameter:
    return OpenApiParameter(
        name, type, OpenApiParameter.PATH, description=description, required=True, **kwargs
    )


LIMIT = query("limit", "rows on a page", {"type": "integer", "minimum": 1, "maximum": 200, "default": 50})
CURSOR = query("cursor", "from `next` or `previous` of another page; opaque")
PAGED = (LIMIT, CURSOR)
SLUG = in_path("slug", "the tenant's slug", examples=[OpenApiExample("acme", value="acme")])
OPERATION_ID = in_path("operation_id", "the operation's id", OpenApiTypes.UUID)
SNAPSHOT_ID = in_path("snapshot_id", "the snapshot's id", OpenApiTypes.UUID)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255},
    OpenApiParameter.HEADER,
    description="Makes a repeat safe: the same key and body get the stored answer.",
)
IDEMPOTENT = (
    IDEMPOTENCY_KEY,
    _header("Idempotency-Replayed", "`true` on a stored answer", [200, 201, 202]),
)
IF_MATCH = OpenApiParameter(
    "If-Match", OpenApiTypes.STR, OpenApiParameter.HEADER, description="the ETag that was read, or `*`"
)


def documented(
    operation_id: str,
    summary: str,
    *,
    tag: str,
    answers: Mapping[Any, Any],
    request: Any = None,
    parameters: Iterable[OpenApiParameter] = (),
    problems: Iterable[int] = (),
    examples: Iterable[OpenApiExample] = (),
    description: str | None = None,
) -> Callable[[F], F]:
    """`extend_schema` with what all paths share. `problems` adds to ALWAYS, and to BODY where there is a body."""
    wrong = sorted({*ALWAYS, *problems, *(BODY if request is not None else ())})
    responses = {
        **answers,
        **{
            (status, CONTENT_TYPE): OpenApiResponse(ProblemShape, description=PROBLEMS[status])
            for status in wrong
        },
    }
    return extend_schema(
        operation_id=operation_id,
        summary=summary,
        description=description,
        tags=[tag],
        request=request,
        responses=responses,
        parameters=[*parameters, *ANSWER_HEADERS],
        examples=list(examples),
    )


class Document(AutoSchema):
    """Says once, in the components, what many paths have in common: headers and problems."""

    def get_description(self) -> str:  # type: ignore[override]  # drf-spectacular's own signature
        """Nothing by itself: a class's docstring is for us, not for callers."""
        return ""

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation: dict[str, Any] = super().get_operation(*args, **kwargs) or {"responses": {}}
        for status, response in operation["responses"].items():
            headers = response.get("headers", {})
            response_headers = {
                name: self._shared("headers", name, schema).ref for name, schema in headers.items()
            }
            if headers:
                response["headers"] = response_headers
            if CONTENT_TYPE in response.get("content", {}):
                operation["responses"][status] = self._shared("responses", f"Problem{status}", response).ref
        return operation

    def _shared(self, type: str, name: str, schema: dict[str, Any]) -> ResolvedComponent:
        component = ResolvedComponent(name, type, schema, name)  # type: ignore[no-untyped-call]
        self.registry.register_on_missing(component)
        return component


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "controlplane.api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "fh_...",
            "description": "An API key. Keys are made under Access in the portal, or by POST /api/v1/api-keys.",
        }


class PortalSessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "controlplane.api.authentication.PortalSessionAuthentication"
    name = "portalSession"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "The portal's session. Unsafe methods need X-CSRFToken, the value of the csrftoken cookie.",
        }
