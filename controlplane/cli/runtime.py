"""Talking to a tenant's runtime as its users do: a key, documents, a run."""

import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from controlplane.cli.client import Api, segment
from controlplane.cli.errors import CliError, Missing, UsageFailure
from controlplane.cli.home import Home
from embedded.processes import file_write_private

DOCUMENT_SUFFIXES = (".md", ".txt", ".rst", ".html")
MAX_DOCUMENT_BYTES = 2_000_000
BATCH = 20


@dataclass(frozen=True)
class Runtime:
    url: str
    api_key: str

    def call(self, method: str, path: str, body: Any = None, *, timeout_s: float = 60) -> Any:
        try:
            response = httpx.request(
                method, f"{self.url}{path}", json=body, headers={"x-api-key": self.api_key}, timeout=timeout_s
            )
        except httpx.HTTPError as error:
            raise CliError(f"The runtime at {self.url} does not answer ({type(error).__name__}).") from error
        if response.is_error:
            detail = response.text[:500]
            with contextlib.suppress(ValueError):
                detail = response.json().get("detail", detail)
            kind = Missing if response.status_code == 404 else CliError
            raise kind(f"The runtime answered {response.status_code} to {method} {path}: {detail}")
        return response.json() if response.content else None

    def accepts_key(self) -> bool:
        try:
            answer = httpx.get(f"{self.url}/info", headers={"x-api-key": self.api_key}, timeout=10)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200


def runtime_connect(api: Api, home: Home, slug: str) -> Runtime:
    """The runtime of a tenant with a key of ours; the key is kept in a file of mode 0600 and reused."""
    path = home.run / "runtime-keys.json"
    kept: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.exists() else {}
    tenant = api.get(f"tenants/{segment(slug)}")
    if slug in kept and kept[slug]["url"] == tenant["runtime_url"]:
        runtime = Runtime(kept[slug]["url"], kept[slug]["api_key"])
        if runtime.accepts_key():
            return runtime
    issued = api.post(f"tenants/{segment(slug)}/credentials", {"name": "freehold command"})
    kept[slug] = {"url": issued["runtime_url"], "api_key": issued["api_key"]}
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file_write_private(path, json.dumps(kept))
    return Runtime(issued["runtime_url"], issued["api_key"])


def documents_read(folder: Path) -> Iterator[dict[str, str]]:
    """{path, title, text} of every readable document below a folder, or of one file."""
    files = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file())
    if not folder.exists():
        raise UsageFailure(f"{folder} does not exist.")
    for file in files:
        if file.suffix.lower() not in DOCUMENT_SUFFIXES or file.stat().st_size > MAX_DOCUMENT_BYTES:
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        if text.strip():
            name = file.name if folder.is_file() else str(file.relative_to(folder))
            yield {"path": name, "title": document_title(text, name), "text": text}


def document_title(text: str, name: str) -> str:
    for line in text.splitlines():
        if line.startswith("# "):
            return line[2:].strip()[:200]
    return name


def documents_ingest(runtime: Runtime, documents: Iterable[dict[str, str]]) -> dict[str, int]:
    """Sends documents in batches; the runtime's counts, added up."""
    totals: dict[str, int] = {}
    batch: list[dict[str, str]] = []
    for document in documents:
        batch.append(document)
        if len(batch) == BATCH:
            _ingest_batch(runtime, batch, totals)
            batch = []
    if batch:
        _ingest_batch(runtime, batch, totals)
    return totals


def _ingest_batch(runtime: Runtime, batch: list[dict[str, str]], totals: dict[str, int]) -> None:
    answer = runtime.call("POST", "/documents", {"documents": batch}, timeout_s=120)
    for name, value in answer.items():
        if isinstance(value, int):
            totals[name] = totals.get(name, 0) + value


def agent_run(runtime: Runtime, question: str, *, agent: str) -> dict[str, Any]:
    """One run on a fresh thread, waited for: the final state of the thread, with its id as `thread_id`."""
    thread = runtime.call("POST", "/threads", {})
    body = {"assistant_id": agent, "input": {"messages": [{"role": "user", "content": question}]}}
    values = runtime.call("POST", f"/threads/{thread['thread_id']}/runs/wait", body, timeout_s=300)
    if not isinstance(values, dict) or "__error__" in values:
        raise CliError(f"The run failed: {json.dumps(values)[:500]}")
    return {**values, "thread_id": thread["thread_id"]}


def answer_text(values: dict[str, Any]) -> str:
    """The last message of the agent."""
    if isinstance(values.get("answer"), str) and values["answer"]:
        return str(values["answer"])
    for message in reversed(values.get("messages", [])):
        if message.get("type") in ("ai", "AIMessage") or message.get("role") == "assistant":
            content = message.get("content")
            return content if isinstance(content, str) else json.dumps(content)
    return ""


def runtime_answers(url: str | None) -> bool:
    if not url:
        return False
    try:
        return httpx.get(f"{url}/ready", timeout=10).status_code == 200
    except httpx.HTTPError:
        return False
