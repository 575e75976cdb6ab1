"""The catalogues: complete, true to their sources, up to date with what is marked, and compiled."""

import re

import pytest
from django.utils import translation

from tools.messages import LOCALE, Message, extract, merge, mo_bytes, po_text, read

PATHS = sorted(LOCALE.glob("*/LC_MESSAGES/django.po"))
#: What the text is given, and the elements it holds.
GIVEN = re.compile(r"%%|%\(\w+\)[sd]|</?\w+[^>]*>")


def given(text: str) -> list[str]:
    return sorted(GIVEN.findall(text))


def wrong_in(message: Message) -> str:
    """What is wrong with a translation; empty when nothing is."""
    if message.fuzzy or not all(message.texts):
        return "not translated"
    if len(message.texts) != (2 if message.plural else 1):
        return "plural forms are missing"
    for source, text in zip((message.id, message.plural), message.texts, strict=False):
        if given(source) != given(text):
            return f"{given(text)} are not {given(source)}"
        if source[:1].isspace() != text[:1].isspace() and not message.context:
            return "begins otherwise"
        if source[-1:].isspace() != text[-1:].isspace():
            return "ends otherwise"
        if '"' in text and '"' not in source:
            return "has a quotation mark that would end an attribute"
    return ""


def test_every_message_is_translated_and_true_to_its_source() -> None:
    assert [path.parent.parent.name for path in PATHS] == ["de"]
    for path in PATHS:
        found = {message.id: problem for message in read(path).values() if (problem := wrong_in(message))}
        assert found == {}, path


def test_nothing_was_marked_since_the_catalogues_were_made() -> None:
    wanted = extract()
    for path in PATHS:
        language = path.parent.parent.name
        fresh = po_text(merge(read(path), wanted), language)
        assert fresh == path.read_text(), "make messages, then translate what is new"


def test_catalogues_are_compiled() -> None:
    for path in PATHS:
        language = path.parent.parent.name
        assert path.with_suffix(".mo").read_bytes() == mo_bytes(read(path), language), "make messages"


def test_django_reads_the_compiled_catalogue() -> None:
    with translation.override("de"):
        assert translation.gettext("Tenants") == "Tenants"
        assert translation.gettext("Sign in") == "Anmelden"
        assert translation.pgettext("word", "awaiting approval") == "wartet auf Freigabe"
        text = translation.ngettext("%(number)s tenant", "%(number)s tenants", 1)
        assert text % {"number": 1} == "1 Tenant"
        many = translation.ngettext("in %(number)d day", "in %(number)d days", 3)
        assert many % {"number": 3} == "in 3 Tagen"


@pytest.mark.parametrize(
    "message",
    [
        Message("", "Open %(name)s", "", ["Öffnen"]),
        Message("", "Done", "", [""]),
        Message("", "Done", "", ["Fertig"], fuzzy=True),
        Message("", "%(n)s day", "%(n)s days", ["%(n)s Tag"]),
        Message("", "of <em>it</em>", "", ["davon"]),
        Message("", "Say it", "", ['Sag "es"']),
    ],
)
def test_a_translation_that_is_wrong_is_found(message: Message) -> None:
    assert wrong_in(message)
