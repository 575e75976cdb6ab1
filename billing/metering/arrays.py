"""Lists for Postgres as one text each: an array literal, or rows for COPY.

The driver writes a list element by element, which for a thousand events takes longer than storing them.
"""

from collections.abc import Iterable

_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def array_text(texts: list[str]) -> str:
    """A one-dimensional array literal of texts, none of them null."""
    joined = '","'.join(texts)
    if "\\" in joined or joined.count('"') != 2 * max(0, len(texts) - 1):
        joined = '","'.join(text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return f'{{"{joined}"}}' if texts else "{}"


def array_plain(values: Iterable[object]) -> str:
    """An array literal of values whose text needs no quotes: numbers and times."""
    return f"{{{','.join(map(str, values))}}}"


def copy_text(text: str) -> str:
    """One field of a row for COPY in its text form."""
    return text.translate(_COPY_ESCAPES)


def copy_is_plain(text: str) -> bool:
    """Whether nothing in it needs to be escaped for COPY."""
    return not any(special in text for special in "\\\t\n\r")
