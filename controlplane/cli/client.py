"""The REST client behind every command, and waiting for operations."""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import httpx

from controlplane.cli.errors import (
    Canceled,
    CliError,
    NeedsApproval,
    NotAuthenticated,
    WaitingTimedOut,
    error_of_problem,
)
from controlplane.cli.home import home_find

TERMINAL = ("succeeded", "failed", "canceled")


def segment(value: str) -> str:
    """A slug or id as one segment of a path, whatever was typed. `.` and `..` would change the path itself."""
    return quote(value, safe="") if value.strip(".") else quote(value, safe="").replace(".", "%2E")


def config_path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "freehold" / "config.json"


@dataclass(frozen=True)
class Credentials:
    api_url: str
    api_key: str


def credentials_find() -> Credentials:
    """FREEHOLD_API_URL and FREEHOLD_API_KEY, else this checkout's up.json, else what `freehold login` kept."""
    url, key = os.environ.get("FREEHOLD_API_URL", ""), os.environ.get("FREEHOLD_API_KEY", "")
    for path, url_name in ((home_find().up_file, "api_url"), (config_path(), "api_url")):
        if url and key:
            break
        if path.exists():
            kept = json.loads(path.read_text())
            url, key = url or kept.get(url_name, ""), key or kept.get("api_key", "")
    if not url or not key:
        raise NotAuthenticated(
            "No API to talk to.",
            hint="Run `make up` here, or `freehold login`, or set FREEHOLD_API_URL and FREEHOLD_API_KEY.",
        )
    return Credentials(api_root(url), key)


def api_root(url: str) -> str:
    """Where the API is, also when only the host was given: `https://freehold.example.com` has it below /api/v1."""
    bare = url.rstrip("/")
    return bare if urlsplit(bare).path else f"{bare}/api/v1"


class Api:
    """Calls below /api/v1. A refusal becomes a CliError with the API's own words."""

    def __init__(self, credentials: Credentials) -> None:
        self._client = httpx.Client(
            base_url=credentials.api_url,
            headers={"Authorization": f"Bearer {credentials.api_key}", "Accept": "application/json"},
            timeout=30,
        )
        self.url = credentials.api_url

    def raw(self, method: str, path: str, *, body: Any = None, **kwargs: Any) -> httpx.Response:
        headers = {"Idempotency-Key": str(uuid4())} if method == "POST" else {}
        headers.update(kwargs.pop("headers", {}))
        try:
            response = self._client.request(method, path.lstrip("/"), json=body, headers=headers, **kwargs)
        except httpx.HTTPError as error:
            raise CliError(
                f"No answer from {self.url} ({type(error).__name__}).",
                hint="Is it up? `freehold status` tells.",
            ) from error
        if response.is_redirect:
            raise CliError(
                f"{self.url} is not the API: it sends elsewhere ({response.headers.get('location', '')}).",
                hint="FREEHOLD_API_URL ends in /api/v1.",
            )
        if response.is_error:
            try:
                problem = response.json()
            except ValueError:
                problem = {}
            raise error_of_problem(response.status_code, problem if isinstance(problem, dict) else {})
        return response

    def call(self, method: str, path: str, *, body: Any = None, **kwargs: Any) -> Any:
        response = self.raw(method, path, body=body, **kwargs)
        return response.json() if response.content else None

    def get(self, path: str, **params: Any) -> Any:
        return self.call("GET", path, params={k: v for k, v in params.items() if v is not None})

    def post(self, path: str, body: Any = None) -> Any:
        return self.call("POST", path, body={} if body is None else body)

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Every row of a list, following `next`."""
        answer = self.get(path, **params)
        while True:
            yield from answer["results"]
            if not answer.get("next"):
                return
            answer = self.call("GET", answer["next"])

    def events(self, operation_id: str, cursor: int) -> list[dict[str, Any]]:
        """Every event after `cursor`, over as many pages as there are."""
        rows: list[dict[str, Any]] = []
        while True:
            page = self.get(f"operations/{segment(operation_id)}/events", cursor=cursor)
            rows += page["results"]
            if not page.get("next"):
                return rows
            cursor = rows[-1]["id"]


def api_connect() -> Api:
    return Api(credentials_find())


def operation_wait(
    api: Api,
    operation_id: str,
    *,
    timeout_s: float,
    on_event: Callable[[dict[str, Any]], None] = lambda _: None,
    on_state: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Follows an operation to its end. Raises NeedsApproval, Canceled, or WaitingTimedOut: it goes on without us."""
    cursor, deadline = 0, time.monotonic() + timeout_s
    while True:
        operation = api.get(f"operations/{segment(operation_id)}")
        for event in api.events(operation_id, cursor):
            cursor = event["id"]
            on_event(event)
        on_state(operation)
        if operation["state"] == "awaiting_approval":
            raise NeedsApproval(
                f"Operation {operation_id} waits for approval.",
                hint=f"freehold operations approve {operation_id}",
            )
        if operation["state"] == "canceled":
            raise Canceled(f"Operation {operation_id} was canceled.")
        if operation["state"] in TERMINAL:
            return dict(operation)
        if time.monotonic() >= deadline:
            raise WaitingTimedOut(
                f"Operation {operation_id} is still {operation['state']} after {timeout_s:.0f} s; it goes on.",
                hint=f"freehold operations watch {operation_id}",
            )
        time.sleep(0.3)
