"""Text as the typeface of documents can show it: it has Latin, Greek and Cyrillic, and lacks other scripts."""

import unicodedata
from functools import cache
from pathlib import Path
from typing import Final

from fpdf import FPDF
from fpdf.fonts import TTFFont

FACES: Final = Path(__file__).resolve().parent / "faces"
REGULAR: Final = FACES / "Inter-Regular.ttf"
STRONG: Final = FACES / "Inter-SemiBold.ttf"


@cache
def known() -> frozenset[int]:
    """Code points that both faces have."""
    regular, strong = (TTFFont(FPDF(), face, face.stem, "") for face in (REGULAR, STRONG))
    return frozenset(regular.cmap) & frozenset(strong.cmap)


def shown(text: str) -> str:
    """Keeps what the typeface has, takes accents apart that it lacks, and shows `?` for letters of other scripts."""
    return "".join(_one(character) for character in text)


def _one(character: str) -> str:
    if character.isspace() or unicodedata.category(character) in ("Cc", "Zl", "Zp"):
        return " "
    if character.isprintable() and ord(character) in known():
        return character
    plain = "".join(
        part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part)
    )
    if plain and all(part.isprintable() and ord(part) in known() for part in plain):
        return plain
    return "" if unicodedata.category(character) in ("Mn", "Me", "Cf") else "?"
