"""The control plane's errors. The class says who must act; `code` is stable and documented.

FreeholdError
├── CallerError                 the request is wrong: change it
│   ├── ValidationFailed        422  fields are named in `errors`
│   ├── NotFound                404  also what a stranger sees
│   ├── PermissionDenied        403
│   ├── NotAuthenticated        401
│   ├── Conflict                409  the state does not allow it now
│   └── PreconditionFailed      412  If-Match did not match
├── OperatorError               the installation is wrong: a person must mend it
└── RetryLater                  503  nothing is wrong for long: try again
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypedDict


class FieldProblem(TypedDict):
    """One wrong field: an RFC 6901 pointer into the body (or a parameter's name) and what is wrong."""

    pointer: str
    detail: str


class FreeholdError(Exception):
    """Base of every expected failure. `detail` says what was wrong, `hint` what to do next."""

    status: ClassVar[int] = 500
    code: str = "internal_error"
    title: str = "Something went wrong inside Freehold"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        title: str | None = None,
        hint: str = "",
        errors: Sequence[FieldProblem] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.title = title or type(self).title
        self.hint = hint
        self.errors = list(errors)
        self.extra = dict(extra or {})


class CallerError(FreeholdError):
    status = 400
    code = "bad_request"
    title = "The request cannot be carried out"


class ValidationFailed(CallerError):
    status = 422
    code = "validation_failed"
    title = "Some fields are not valid"

    @classmethod
    def of(cls, field: str, detail: str, **kwargs: Any) -> "ValidationFailed":
        """For a single field; `field` is a name or a pointer."""
        pointer = field if field.startswith("/") else f"/{field}"
        return cls(
            f"{pointer.lstrip('/')}: {detail}", errors=[{"pointer": pointer, "detail": detail}], **kwargs
        )


class NotAuthenticated(CallerError):
    status = 401
    code = "not_authenticated"
    title = "Authentication is needed"


class PermissionDenied(CallerError):
    status = 403
    code = "permission_denied"
    title = "Your role or key does not allow this"


class NotFound(CallerError):
    status = 404
    code = "not_found"
    title = "Not found"


class Conflict(CallerError):
    status = 409
    code = "conflict"
    title = "The current state does not allow this"


class PreconditionFailed(CallerError):
    status = 412
    code = "precondition_failed"
    title = "The resource changed since it was read"


class OperatorError(FreeholdError):
    status = 500
    code = "operator_error"
    title = "The installation needs attention"


class RetryLater(FreeholdError):
    status = 503
    code = "unavailable"
    title = "Not available at the moment"
