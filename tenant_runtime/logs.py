"""JSON lines on stderr. A line carries ids, names and numbers; never message content, never a secret."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JsonFormatter(logging.Formatter):
    """One JSON document a record; fields given as `extra=` become members."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update({name: value for name, value in vars(record).items() if name not in _PLAIN})
        if record.exc_info and record.exc_info[0] is not None:
            # The exception's text may quote what a user wrote, so only its place is told.
            line["exception"] = record.exc_info[0].__name__
            trace = record.exc_info[2]
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            if trace is not None:
                line["at"] = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
        return json.dumps(line, default=str)


def logs_configure(level: str, tenant: str, replica: str) -> None:
    """Sends every logger of the process to stderr as JSON, with tenant and replica on each line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())

    def stamp(record: logging.LogRecord) -> bool:
        record.tenant, record.replica = tenant, replica
        return True

    handler.addFilter(stamp)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # botocore's lines of level debug hold whole answers, and so the database's password.
    for noisy in (
        "httpx", "httpx2", "httpcore", "httpcore2", "openai", "uvicorn.access", "boto3", "botocore", "urllib3",
    ):  # fmt: skip
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
