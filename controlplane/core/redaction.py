"""The control plane's own secrets kept out of what it logs and stores as text (contracts/redaction.py)."""

import logging
from collections.abc import MutableMapping
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings

from contracts.redaction import Redactor


@cache
def own_redactor() -> Redactor:
    """Knows every secret of the settings, and the passphrase of the stacks."""
    passphrase = Path(settings.PULUMI_PASSPHRASE_FILE)
    return Redactor(
        [
            settings.SECRET_KEY,
            *settings.FREEHOLD_ENCRYPTION_KEYS,
            settings.DATABASE_URL,
            settings.REDIS_URL,
            settings.PULUMI_BACKEND_URL,
            settings.MODEL_API_KEY,
            settings.FREEHOLD_EMAIL_URL,
            settings.EMAIL_HOST_PASSWORD,
            passphrase.read_text(encoding="utf-8").strip() if passphrase.is_file() else None,
        ]
    )


def redact_event(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: after exceptions became text, before the line is written."""
    redactor = own_redactor()
    return {name: redactor.value(value) for name, value in event.items()}


class RedactingFormatter(logging.Formatter):
    """For what logs through the standard library: Celery, uvicorn, Django. Tracebacks are covered too."""

    def format(self, record: logging.LogRecord) -> str:
        return own_redactor().text(super().format(record))
