"""Errors in the shape that clients of OpenAI read: `{"error": {"message", "type", "param", "code"}}`."""

from typing import Any, Final

from fastapi.responses import JSONResponse

PREFIX: Final = "/v1/"
_TYPES: Final = {
    401: "authentication_error", 403: "permission_error", 404: "not_found_error", 409: "conflict_error",
    429: "rate_limit_error",
}  # fmt: skip


def error_body(status: int, *, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def openai_error(status: int, problem: dict[str, Any]) -> JSONResponse:
    """A problem document (service/problems.py) in OpenAI's shape."""
    errors = problem.get("errors") or []
    first = errors[0] if errors else {}
    param = str(first.get("pointer", "")).strip("/").replace("/", ".") or None
    message = f"{param}: {first['detail']}" if first else str(problem["detail"])
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    body = error_body(status, code=problem["code"], message=message, param=param)
    return JSONResponse(body, status, headers=headers)
