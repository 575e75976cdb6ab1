"""Cuts a document into overlapping-free pieces that end at paragraph or sentence ends."""

import re
from dataclasses import dataclass
from typing import Final

TARGET_CHARACTERS: Final = 700
_PARAGRAPH = re.compile(r"\n\s*\n")
_SENTENCE = re.compile(r"(?<=[.!?])(\s+)")
_HEADING = re.compile(r"^#{1,6}\s+(.*)$")


@dataclass(frozen=True)
class Chunk:
    """`heading` is the nearest Markdown heading above the text, or empty."""

    number: int
    heading: str
    text: str


def _pieces(paragraph: str) -> list[str]:
    """The paragraph itself, or its sentences grouped to size; a monster sentence is cut hard."""
    if len(paragraph) <= TARGET_CHARACTERS:
        return [paragraph]
    pieces: list[str] = []
    current = ""
    # Sentences at even places, the white space between them at odd ones: a line break is kept, because the
    # items of a list are told apart by it.
    parts = _SENTENCE.split(paragraph)
    for sentence, gap in zip(parts[::2], ["", *parts[1::2]], strict=True):
        while len(sentence) > 2 * TARGET_CHARACTERS:
            pieces.append(sentence[:TARGET_CHARACTERS])
            sentence = sentence[TARGET_CHARACTERS:]
        if current and len(current) + len(sentence) > TARGET_CHARACTERS:
            pieces.append(current)
            current = ""
        joint = "\n" if "\n" in gap else " "
        current = f"{current}{joint}{sentence}".strip()
    return [*pieces, current] if current else pieces


def chunks_cut(text: str) -> list[Chunk]:
    """Chunks in reading order, numbered from 0. A heading starts a new chunk and is kept in `heading`."""
    chunks: list[Chunk] = []
    heading, buffer = "", ""

    def flush() -> None:
        nonlocal buffer
        if buffer.strip():
            chunks.append(Chunk(len(chunks), heading, buffer.strip()))
        buffer = ""

    for paragraph in _PARAGRAPH.split(text.replace("\r\n", "\n")):
        lines = paragraph.strip().split("\n")
        while lines and (found := _HEADING.match(lines[0].strip())):
            flush()
            heading = found[1].strip()
            lines = lines[1:]
        for piece in _pieces("\n".join(lines).strip()):
            if buffer and len(buffer) + len(piece) > TARGET_CHARACTERS:
                flush()
            buffer = f"{buffer}\n\n{piece}" if buffer else piece
    flush()
    return chunks
