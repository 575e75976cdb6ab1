"""Text for the PDF's built-in fonts, which know Latin-1 only. Pure."""

import unicodedata
from typing import Final

#: Letters that Unicode does not take apart, and punctuation with a plain twin.
_TWINS: Final = str.maketrans(
    {
        "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ħ": "h", "Ħ": "H", "\u0131": "i", "ŋ": "n", "Ŋ": "N",
        "œ": "oe", "Œ": "OE", "ẞ": "SS", "ŧ": "t", "Ŧ": "T", "ə": "e", "ĸ": "k",
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201c": '"', "\u201d": '"', "\u201e": '"',
        "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2212": "-",
        "\u2026": "...", "\u2022": "*", "\u20ac": "EUR", "\u2192": "->",
    }
)  # fmt: skip


def latin(text: str) -> str:
    """Keeps what Latin-1 has, drops accents it lacks, and shows `?` for letters of other scripts."""
    return "".join(_one(character) for character in text.translate(_TWINS))


def _one(character: str) -> str:
    if character.isprintable() and ord(character) < 256:
        return character
    if character.isspace() or unicodedata.category(character) in ("Cc", "Zl", "Zp"):
        return " "
    plain = "".join(
        part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part)
    )
    if plain and all(part.isprintable() and ord(part) < 256 for part in plain):
        return plain
    return "" if unicodedata.category(character) in ("Mn", "Me", "Cf") else "?"
