"""RFC 9457 problem documents: one shape for every error that leaves the house."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg import OperationalError
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException

from tenant_runtime.doors.openai.errors import PREFIX as OPENAI_PREFIX
from tenant_runtime.doors.openai.errors import openai_error
from tenant_runtime.errors import Paused, RuntimeFault, Unauthenticated

log = logging.getLogger(__name__)

_CODES = {
    400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media",
}  # fmt: skip


def problem(status: int, *, code: str, title: str, detail: str, path: str = "", **extra: Any) -> JSONResponse:
    """`path` is the request's: clients of OpenAI read another shape."""
    body = {
        "type": f"urn:freehold:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if path.startswith(OPENAI_PREFIX):
        return openai_error(status, body | extra)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(body | extra, status, headers=headers, media_type="application/problem+json")


def fault_problem(fault: RuntimeFault, path: str = "") -> JSONResponse:
    more = {"hint": fault.hint} if isinstance(fault, Paused) and fault.hint else {}
    return problem(fault.status, code=fault.code, title=fault.title, detail=fault.detail, path=path, **more)


def unauthenticated(path: str) -> JSONResponse:
    return fault_problem(
        Unauthenticated("send a valid key as `x-api-key` or as `Authorization: Bearer`"), path
    )


def problems_install(app: FastAPI) -> None:
    """Maps every exception to a problem. What was not foreseen is logged and answered without detail."""

    @app.exception_handler(RuntimeFault)
    async def fault(request: Request, error: RuntimeFault) -> JSONResponse:
        return fault_problem(error, request.url.path)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, "http_error")
        return problem(
            error.status_code,
            code=code,
            title=str(error.detail),
            detail=str(error.detail),
            path=request.url.path,
        )

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        # The refused value itself is not repeated: it may be long, or somebody's secret.
        errors = [
            {"pointer": "/" + "/".join(str(part) for part in item["loc"][1:]), "detail": item["msg"]}
            for item in error.errors()
        ]
        if any(item["type"] == "json_invalid" for item in error.errors()):
            return problem(
                400,
                code="bad_json",
                title="Bad request",
                detail="the body is not JSON",
                path=request.url.path,
            )
        title = "The request is not valid"
        return problem(
            422, code="invalid", title=title, detail="see `errors`", errors=errors, path=request.url.path
        )

    @app.exception_handler(OperationalError)
    @app.exception_handler(PoolTimeout)
    async def database(request: Request, error: Exception) -> JSONResponse:
        log.error("database does not answer", extra={"error": type(error).__name__})
        title = "A needed part is unavailable"
        return problem(
            503,
            code="database_unavailable",
            title=title,
            detail="the database does not answer",
            path=request.url.path,
        )

    @app.exception_handler(Exception)
    async def surprise(request: Request, error: Exception) -> JSONResponse:
        log.error("unexpected error", extra={"error": type(error).__name__})
        return problem(
            500,
            code="internal_error",
            title="Internal error",
            detail="see the runtime's log",
            path=request.url.path,
        )
