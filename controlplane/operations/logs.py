"""What is kept of an operation in words: its timeline as text, and how long both are kept.

The runner's own output lies in a file for each operation below FREEHOLD_HOME/logs/operations. Rows of operations and
their steps stay for ever; events and files go after FREEHOLD_LOG_RETENTION_DAYS.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, OuterRef

from controlplane.core.clock import moment_text
from controlplane.core.redaction import own_redactor
from controlplane.operations import states
from controlplane.operations.models import Operation, OperationEvent

#: Of a runner's output that grew beyond this, only the end is given.
MOST_BYTES = 2_000_000
BATCH = 200


def operation_log_path(operation: Operation) -> Path:
    """The file of the runner's own output."""
    return _folder() / f"{operation.pk}.log"


def _folder() -> Path:
    home: Path = settings.FREEHOLD_HOME
    return home / "logs" / "operations"


def operation_log_text(operation: Operation, *, slug: str) -> Iterator[str]:
    """Lines of a log to read or keep: what it was, each event, the failure, and the runner's own output."""
    yield f"{operation.kind} of {slug}, operation {operation.id}, {operation.state}, attempt {operation.attempt}"
    yield f"requested by {operation.requested_by} at {moment_text(operation.created_at)}"
    events = OperationEvent.objects.filter(operation=operation).order_by("id")
    lines = 0
    for event in events.iterator(chunk_size=1000):
        lines += 1
        yield f"{moment_text(event.at)}  {_event_text(event.type, event.data)}"
    if not lines and operation.state in states.TERMINAL:
        yield f"(events are kept for {settings.FREEHOLD_LOG_RETENTION_DAYS} days; these are gone)"
    if operation.error:
        error = operation.error
        yield f"failed: {error.get('code', '')}: {error.get('title', '')}"
        yield from _indented(str(error.get("detail", "")))
        yield f"next: {error.get('hint', '')}"
    output = _output_of(operation)
    if output.strip():
        yield "the runner's own output:"
        yield from _indented(output)


def operation_logs_prune(*, now: datetime) -> tuple[int, int]:
    """Forgets events and files of operations that ended longer ago than the retention; (operations, files).

    An operation that has not ended keeps everything, however old. A file that a killed run of this left behind, or
    whose operation is gone, goes by its own age.
    """
    limit = now - timedelta(days=settings.FREEHOLD_LOG_RETENTION_DAYS)
    ended = Operation.objects.filter(state__in=states.TERMINAL, finished_at__lt=limit)
    emptied = 0
    while True:
        with_events = ended.filter(Exists(OperationEvent.objects.filter(operation_id=OuterRef("pk"))))
        found = list(with_events.values_list("pk", flat=True)[:BATCH])
        if not found:
            break
        OperationEvent.objects.filter(operation_id__in=found).delete()
        emptied += len(found)
    return emptied, _files_prune(limit)


def _files_prune(limit: datetime) -> int:
    removed = 0
    for path in _folder().glob("*.log"):
        try:
            operation = Operation.objects.filter(pk=UUID(path.stem)).first()
            old = path.stat().st_mtime < limit.timestamp()
        except (ValueError, OSError):
            continue
        running = operation is not None and operation.state not in states.TERMINAL
        ended = operation.finished_at if operation is not None else None
        if not running and (ended < limit if ended else old):
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _output_of(operation: Operation) -> str:
    try:
        with operation_log_path(operation).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MOST_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return own_redactor().text(text)


def _indented(text: str) -> Iterator[str]:
    for line in text.strip().splitlines():
        yield f"    {line}"


def _event_text(kind: str, data: dict[str, Any]) -> str:
    match kind:
        case "state":
            return " ".join(str(data[key]) for key in ("state", "verb", "by") if data.get(key))
        case "step":
            return f"step {data.get('name')} {data.get('state')} {data.get('detail', '')}".rstrip()
        case "resource":
            words = (data.get(key, "") for key in ("phase", "op", "state", "type", "name"))
            return " ".join(["resource", *map(str, words)])
        case "diagnostic":
            return f"{data.get('severity')}: {data.get('message')}"
        case _:
            return f"{kind} {' '.join(f'{key}={value}' for key, value in sorted(data.items()))}"
