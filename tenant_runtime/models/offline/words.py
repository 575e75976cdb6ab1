"""Words, sentences and tokens as the offline models see them. Pure functions, no state."""

import json
import re
from collections.abc import Iterable
from typing import Any, Final

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")
_PIECE = re.compile(r"[^\W_]+|[^\w\s]|_")
_MARKER = re.compile(r"^(?:[-*+]|\d+\.)\s+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(\[]?[A-Z0-9À-ÞА-Я])|\n\s*\n|\n(?=\s*(?:[-*#|]|\d+\.)\s)")
#: A token is at most this many characters of one word (see `tokens_count`).
TOKEN_CHARACTERS: Final = 6
MESSAGE_OVERHEAD: Final = 4

STOP_WORDS: Final = frozenset(
    """
    a about above after again all also am an and any are as at be because been before being between
    both but by can could did do does doing down during each few for from further had has have
    having he her here hers him his how i if in into is it its itself just me more most my no nor
    not now of off on once one ones only or other others our out over own please same she should so
    some such than that the their them then there these they this those through to too under until
    up very was we were what when where which while who whom why will with would you your tell
    explain describe give show list happens happen many much
    """.split()  # noqa: SIM905 - a list of quoted words would be five times as long
)
_SUFFIXES: Final = (
    "ational", "ization", "isation", "fulness", "ements", "ments", "ation", "ement", "ingly", "ness", "ment",
    "ings", "edly", "ally", "able", "ible", "ing", "ion", "est", "ers", "ed", "es", "er", "ly", "al", "e", "y",
)  # fmt: skip


_IRREGULAR: Final = {
    "kept": "keep", "ran": "run", "took": "take", "taken": "take", "made": "make", "paid": "pay", "sent": "send",
    "held": "hold", "lost": "lose", "sold": "sell", "bought": "buy", "began": "begin", "written": "write",
    "wrote": "write", "chosen": "choose", "found": "find", "left": "leave", "built": "build",
}  # fmt: skip


def stem(word: str) -> str:
    """One form for a word's inflections: an English ending is cut, at least four characters stay (three before
    a plural s). `backups` and `backup` meet, `bus` stays."""
    word = _IRREGULAR.get(word, word)
    if len(word) > 4 and word.endswith("ies"):
        word = f"{word[:-3]}y"
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 4:
            return word[: -len(suffix)]
    return word


def words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def terms(text: str) -> list[str]:
    """Stems of the words that carry meaning, in order, repeats kept."""
    return [
        stem(word) for word in words(text) if word not in STOP_WORDS and (len(word) > 1 or word.isdigit())
    ]


def sentences(text: str) -> list[str]:
    """Sentences and list items without their markers, whitespace collapsed; headings and empty pieces are dropped."""
    pieces = (_MARKER.sub("", " ".join(piece.split())) for piece in _SENTENCE_END.split(text))
    return [piece for piece in pieces if piece and not piece.startswith("#")]


def tokens_count(text: str) -> int:
    """The tokenizer of both offline models, exactly: every started run of TOKEN_CHARACTERS characters of a
    word is one token, and so is every punctuation mark; white space is none."""
    count = 0
    for piece in _PIECE.findall(text):
        count += -(-len(piece) // TOKEN_CHARACTERS)
    return count


def message_text(content: Any) -> str:
    """The text of a message's content, which may be a string or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(part.get("text", "") for part in content if isinstance(part, dict))
    return ""


def prompt_tokens_count(messages: Iterable[dict[str, Any]], tools: list[dict[str, Any]] | None) -> int:
    """Tokens of every message's text and tool calls, MESSAGE_OVERHEAD each, and of the tools' JSON."""
    total = 0
    for message in messages:
        total += MESSAGE_OVERHEAD + tokens_count(message_text(message.get("content")))
        for call in message.get("tool_calls") or []:
            total += tokens_count(json.dumps(call.get("function", {}), sort_keys=True))
    return total + (tokens_count(json.dumps(tools, sort_keys=True)) if tools else 0)
