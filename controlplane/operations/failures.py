"""Why operations fail, told: the causes of causes.py recognised in words, and the errors made of them. Pure; no Django.

`cause_of` recognises a cause in the engine's, the provider's and the servers' own words; the words stay in `detail`
beneath the sentence.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from controlplane.operations.causes import CAUSES, Cause

BY_CODE: Final[Mapping[str, Cause]] = {cause.code: cause for cause in CAUSES}
_COMPILED: Final = [
    (cause, re.compile("|".join(cause.patterns), re.IGNORECASE)) for cause in CAUSES if cause.patterns
]


def cause_of(text: str) -> Cause | None:
    """The cause that the words tell of; None when they tell of none in the table."""
    return next((cause for cause, pattern in _COMPILED if pattern.search(text)), None)


def failure(
    code: str, *, what: str, detail: str, resource: Mapping[str, Any] | None = None, more: str = ""
) -> dict[str, Any]:
    """{code, title, detail, hint, resource}: one sentence, the next step, and the raw words beneath."""
    cause = BY_CODE[code]
    return {
        "code": code,
        "title": f"{what}: {cause.sentence}",
        "detail": detail,
        "hint": f"{cause.step()} {more}".strip(),
        "resource": dict(resource) if resource else None,
    }


def died_failure(code: int, tail: str) -> dict[str, Any]:
    """Of a runner that ended without a word; `tail` is the end of its own output."""
    cause = cause_of(tail)
    why = f": {cause.sentence}" if cause else ": it was killed" if code < 0 else ""
    return {
        "code": "runner_died",
        "title": f"The runner ended without a result{why}",
        "detail": f"Exit code {code}. {tail}",
        "hint": "Retry; Pulumi goes on from the state it saved. If it repeats, run `freehold doctor`.",
        "resource": None,
    }


def deadline_failure(seconds: int) -> dict[str, Any]:
    return {
        "code": "deadline_exceeded",
        "title": "The operation took too long and was stopped",
        "detail": f"It ran for more than {seconds} s.",
        "hint": "See which resource was slow in the timeline, mend it, and retry.",
        "resource": None,
    }


def unverified_failure(code: str, detail: str, hint: str) -> dict[str, Any]:
    """Of a look from outside that found the stack not as it should be."""
    cause = BY_CODE.get(code, BY_CODE["verification_failed"])
    return {
        "code": code,
        "title": f"Verification failed: {cause.sentence}",
        "detail": detail,
        "hint": hint,
        "resource": None,
    }


def executor_failure(error: Exception, operation_id: UUID) -> dict[str, Any]:
    """Of a surprise inside Freehold itself."""
    return {
        "code": "executor_failed",
        "title": "Freehold could not carry out the operation",
        "detail": f"{type(error).__name__}: {error}"[:2000],
        "hint": f"The worker's log has the whole story; operation {operation_id}. Retry when it is mended.",
        "resource": None,
    }
