"""Waiting with a deadline for something that answers by HTTP."""

import time
from pathlib import Path

import httpx


def answer_wait(url: str, *, log: Path, deadline_s: float = 60.0) -> httpx.Response:
    """The first answer that is not 5xx; AssertionError with the log's end after the deadline."""
    until = time.monotonic() + deadline_s
    while True:
        try:
            answer = httpx.get(url, timeout=5)
            if answer.status_code < 500:
                return answer
            said = answer.text[:200]
        except httpx.HTTPError as error:
            said = repr(error)
        assert time.monotonic() < until, f"{url}: {said}\n{log.read_text()[-2000:]}"
        time.sleep(0.2)
