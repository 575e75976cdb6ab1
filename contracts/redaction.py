"""What a secret looks like in text, so that every deployable keeps it out of logs, events and errors alike.

A last net under the rule that secrets are not put into texts: an engine, a driver or a library may quote one.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

HIDDEN: Final = "[secret]"
#: Shorter values would hide innocent words.
MIN_LENGTH: Final = 8

_PATTERNS: Final = (
    # user:password@ of a URL
    re.compile(r"(?P<keep>[a-z][a-z0-9+.-]*://[^\s:/@\"']*:)[^\s@/\"']+(?=@)", re.IGNORECASE),
    # our API keys and runtimes' keys
    re.compile(r"(?P<keep>\bfh[a-z]?_)[A-Za-z0-9_-]{8,}"),
    re.compile(r"(?P<keep>\bBearer\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE),
    # password=..., "api_key": "..."
    re.compile(
        r"(?P<keep>\b(?:password|passwd|pgpassword|passphrase|api[_-]?key|secret[_-]?key|access[_-]?token)"
        r"[\"']?\s*[=:]\s*[\"']?)[^\s\"',;}&]{4,}",
        re.IGNORECASE,
    ),
)


class Redactor:
    """Hides the values given, their percent-encoded forms, passwords of URLs among them, and what looks like one."""

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        forms: set[str] = set()
        for secret in filter(None, secrets):
            # Of a URL the password is the secret, and where it leads is worth telling.
            given = urlsplit(secret).password if "://" in secret else secret
            for each in (given, unquote(given) if given else None):
                if each and len(each) >= MIN_LENGTH:
                    forms |= {each, quote(each, safe="")}
        # The longest first, so that a value inside another one does not leave the rest of it.
        longest = sorted(forms, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest))) if longest else None

    def text(self, text: str) -> str:
        hidden = self._known.sub(HIDDEN, text) if self._known else text
        for pattern in _PATTERNS:
            hidden = pattern.sub(rf"\g<keep>{HIDDEN}", hidden)
        return hidden

    def value(self, value: Any) -> Any:
        """The same JSON-able value with every text in it redacted; names of members stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {name: self.value(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value
