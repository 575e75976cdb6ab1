"""Catalogues of the portal's text, without gettext's programs: `python tools/messages.py` brings every `.po` up to date
with what is marked in templates and code, and compiles it.

Templates are read as Django's makemessages reads them, Python by its syntax tree; `vocabulary.py` adds what other rooms
say. A message that is new has an empty translation until somebody writes it; one that is gone is dropped.
"""

import ast
import os
import re
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCALE = ROOT / "controlplane" / "portal" / "locale"
CODE = (
    ROOT / "controlplane" / "portal",
    ROOT / "controlplane" / "core" / "failures.py",
    ROOT / "controlplane" / "accounts" / "mails.py",
)
TEMPLATES = ROOT / "templates"
#: function -> which of its arguments are context, message and plural
CALLS = {
    "gettext": (None, 0, None),
    "gettext_lazy": (None, 0, None),
    "gettext_noop": (None, 0, None),
    "_": (None, 0, None),
    "ngettext": (None, 0, 1),
    "pgettext": (0, 1, None),
    "npgettext": (0, 1, 2),
}
_TEXT = r"""u?(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
#: What `templatize` leaves of a template, between stretches of X.
_MARKED = re.compile(rf"\b(gettext|ngettext|pgettext|npgettext|_)\(\s*({_TEXT}(?:\s*,\s*{_TEXT})*)")

HEADER = """\
Language: {language}
MIME-Version: 1.0
Content-Type: text/plain; charset=UTF-8
Content-Transfer-Encoding: 8bit
Plural-Forms: nplurals=2; plural=(n != 1);
"""

Key = tuple[str, str]


@dataclass
class Message:
    """One entry; `places` are files. `plural` is empty for a message without one, which has one text."""

    context: str
    id: str
    plural: str = ""
    texts: list[str] = field(default_factory=list)
    places: set[str] = field(default_factory=set)
    fuzzy: bool = False

    @property
    def key(self) -> Key:
        return self.context, self.id


def extract() -> dict[Key, Message]:
    """Every message there is, by context and text."""
    found: dict[Key, Message] = {}
    for place, context, text, plural in _marked():
        if not text:  # a call whose text is no literal
            continue
        message = found.setdefault((context, text), Message(context, text))
        message.plural = message.plural or plural
        message.places.add(place)
    return found


def _marked() -> Iterator[tuple[str, str, str, str]]:
    from django.utils.translation.template import templatize

    from controlplane.portal.vocabulary import sentences, vocabulary

    for path in sorted(TEMPLATES.rglob("*.html")):
        place = str(path.relative_to(ROOT))
        for call in _MARKED.finditer(templatize(path.read_text(), origin=place)):
            texts = list(ast.literal_eval(f"({call.group(2)},)"))
            yield place, *_picked(call.group(1), texts)
    for part in CODE:
        for path in sorted(part.rglob("*.py")) if part.is_dir() else [part]:
            yield from _of_code(path)
    place = "controlplane/portal/vocabulary.py"
    for word in vocabulary():
        yield place, "word", word.replace("_", " "), ""
    for sentence in sentences():
        yield place, "", sentence, ""


def _of_code(path: Path) -> Iterator[tuple[str, str, str, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            if texts and all(isinstance(text, str) for text in texts):
                yield str(path.relative_to(ROOT)), *_picked(node.func.id, [str(text) for text in texts])


def _picked(call: str, texts: list[str]) -> tuple[str, str, str]:
    context, message, plural = ("" if at is None or at >= len(texts) else texts[at] for at in CALLS[call])
    return context, message, plural


def read(path: Path) -> dict[Key, Message]:
    """A `.po` as `write` makes it, or as editors do."""
    found: dict[Key, Message] = {}
    for block in re.split(r"\n\s*\n", path.read_text()) if path.exists() else []:
        fields: dict[str, str] = {}
        name, fuzzy = "", False
        for line in block.splitlines():
            if line.startswith("#"):
                fuzzy = fuzzy or (line.startswith("#,") and "fuzzy" in line)
                continue
            if not line.startswith('"'):
                name, _, line = line.partition(" ")
            fields[name] = fields.get(name, "") + str(ast.literal_eval(line))
        if fields.get("msgid"):
            plural = fields.get("msgid_plural", "")
            texts = [fields[key] for key in sorted(fields) if key.startswith("msgstr")]
            message = Message(fields.get("msgctxt", ""), fields["msgid"], plural, texts, fuzzy=fuzzy)
            found[message.key] = message
    return found


def merge(known: dict[Key, Message], wanted: dict[Key, Message]) -> dict[Key, Message]:
    """What is wanted, with the texts that are known."""
    merged = {}
    for key, message in sorted(wanted.items(), key=lambda item: (sorted(item[1].places)[0], item[0])):
        old = known.get(key)
        kept = old.texts if old and bool(old.plural) == bool(message.plural) else []
        fuzzy = old.fuzzy if old else False
        texts = kept or [""] * (2 if message.plural else 1)
        merged[key] = Message(message.context, message.id, message.plural, texts, message.places, fuzzy)
    return merged


def po_text(messages: dict[Key, Message], language: str) -> str:
    head = ["# The portal's text. `make messages` brings it up to date.", 'msgid ""', 'msgstr ""']
    head += [_quoted(line + "\n") for line in HEADER.format(language=language).splitlines()]
    blocks = ["\n".join(head)]
    for message in messages.values():
        lines = [f"#: {place}" for place in sorted(message.places)]
        lines += ["#, fuzzy"] * message.fuzzy
        lines += [f"msgctxt {_quoted(message.context)}"] * bool(message.context)
        lines.append(f"msgid {_quoted(message.id)}")
        if message.plural:
            lines.append(f"msgid_plural {_quoted(message.plural)}")
            lines += [f"msgstr[{at}] {_quoted(text)}" for at, text in enumerate(message.texts)]
        else:
            lines.append(f"msgstr {_quoted(message.texts[0])}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def mo_bytes(messages: dict[Key, Message], language: str) -> bytes:
    """The compiled catalogue: sorted ids and texts, each with its length and place."""
    entries = {"": HEADER.format(language=language)}
    for message in messages.values():
        if all(message.texts) and not message.fuzzy:
            key = f"{message.context}\x04{message.id}" if message.context else message.id
            key += f"\x00{message.plural}" if message.plural else ""
            entries[key] = "\x00".join(message.texts)
    pairs = sorted((key.encode(), text.encode()) for key, text in entries.items())
    count, start = len(pairs), 28
    ids_at, texts_at = start, start + 8 * count
    place = start + 16 * count
    tables: list[tuple[list[tuple[int, int]], list[bytes]]] = []
    for column in (0, 1):
        index, blob = [], []
        for pair in pairs:
            index.append((len(pair[column]), place))
            blob.append(pair[column] + b"\x00")
            place += len(pair[column]) + 1
        tables.append((index, blob))
    out = struct.pack("<7I", 0x950412DE, 0, count, ids_at, texts_at, 0, 0)
    out += b"".join(struct.pack("<2I", *each) for index, _ in tables for each in index)
    return out + b"".join(part for _, blob in tables for part in blob)


def main() -> int:
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.config.settings")
    import django

    django.setup()
    wanted = extract()
    for folder in sorted(path for path in LOCALE.iterdir() if path.is_dir()):
        path = folder / "LC_MESSAGES" / "django.po"
        messages = merge(read(path), wanted)
        path.write_text(po_text(messages, folder.name))
        path.with_suffix(".mo").write_bytes(mo_bytes(messages, folder.name))
        empty = sum(1 for message in messages.values() if not all(message.texts))
        print(f"{folder.name}: {len(messages)} messages, {empty} without a translation")
    return 0


if __name__ == "__main__":
    sys.exit(main())
