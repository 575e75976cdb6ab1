"""Two languages: nothing a person reads is left unmarked, and nothing a program reads changes with the language."""

import gettext
import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils.translation import override, trans_real

from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.portal.figures import money_text, quantity_text, relative_text
from controlplane.portal.scripts import SCRIPT_WORDS
from controlplane.tenants.models import Tenant
from tests.portal import stories
from tests.portal.conftest import Browse, Page
from tests.portal.test_budgets import FORM
from tests.support.people import Person
from tools.messages import extract

pytestmark = pytest.mark.usefixtures("quiet_doorbell")

GERMAN = {"accept-language": "de-DE,de;q=0.9,en;q=0.5"}
ENGLISH = {"accept-language": "en-US,en;q=0.9"}
SCRIPTS = Path(__file__).resolve().parents[2] / "static" / "portal" / "js"
PAGES = (
    "/",
    "/tenants/",
    "/tenants/?q=nobody",
    "/tenants/new/",
    "/operations/",
    "/operations/?tenant=nobody",
    "/help/failures/",
    "/access/",
    "/audit/",
    "/audit/?actor=nobody",
    "/keys/",
    "/usage/",
    "/usage/?period=2020-01",
    "/budgets/",
    "/budgets/new/",
    "/margin/",
    "/margin/?period=2020-01",
    "/invoices/",
    "/invoices/?tenant=nobody",
    "/tenants/acme/",
    *(
        f"/tenants/acme/{tab}/"
        for tab in (
            "resources", "agents", "operations", "snapshots", "settings", "budgets", "cost", "credits", "usage",
            "billing", "playground",
        )
    ),
    "/tenants/hooli/",
    "/tenants/initech/",
    "/tenants/umbrella/",
    "/tenants/umbrella/snapshots/",
    "/tenants/umbrella/usage/",
    "/tenants/nobody/",
    "/nowhere/",
)  # fmt: skip
#: Attributes that people read or hear.
READ = ("aria-label", "title", "placeholder", "data-busy", "data-title", "data-announce")
#: What is in them is a program's, or a name that somebody gave.
DATA = frozenset({"code", "pre", "kbd", "script", "style"})
#: Classes of elements that show data: addresses, slugs, ids, what an engine said.
DATA_CLASSES = frozenset({"mono", "avatar", "tag", "who-name", "line-head"})


class Read(HTMLParser):
    """What people read on a page, piece by piece, and the rest of it for comparison."""

    void = frozenset({"meta", "link", "input", "br", "img", "use", "rect", "line", "polyline", "path", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.told: list[str] = []
        self.rest: list[Any] = []
        self._open: list[bool] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        data = tag in DATA or bool(DATA_CLASSES & set(found.get("class", "").split()))
        if tag not in self.void:
            self._open.append(data)
        if tag != "use":
            self.told += [found[name] for name in READ if name in found and not data]
        told = {name: value for name, value in found.items() if name not in (*READ, "lang", "data-words")}
        self.rest.append((tag, told))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.void:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void and self._open:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if data.strip() and not any(self._open):
            self.said.append(data.strip())


class Pseudo(gettext.NullTranslations):
    """A language whose every known message stands in brackets."""

    def __init__(self) -> None:
        super().__init__()
        known = extract().values()
        self.known = {f"{each.context}\x04{each.id}" if each.context else each.id for each in known}
        self.known |= {each.plural for each in known if each.plural}

    def gettext(self, message: str) -> str:
        text = message.rpartition("\x04")[2]
        return f"⟦{text}⟧" if message in self.known else message

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"⟦{msgid1 if n == 1 else msgid2}⟧"

    def language(self) -> str:
        return "de"

    def to_language(self) -> str:
        return "de"


def unmarked(html: str) -> list[str]:
    """Pieces that have words outside of brackets."""
    found = Read(html)
    left = []
    # A message may hold elements, so that its brackets stand in different pieces of the page.
    for text in ("\n".join(found.said), *found.told):
        while (shorter := re.sub(r"⟦[^⟦⟧]*⟧", "", text)) != text:
            text = shorter
        left += [piece.strip() for piece in text.splitlines() if unnamed(piece)]
    return left


@pytest.fixture
def lived_in(owner: Person, active: tuple[Tenant, Operation]) -> list[str]:
    """Something of everything; the paths that come of it."""
    now = clock.now()
    _, failed = stories.failed(owner.principal, "hooli", now)
    _, waiting = stories.awaiting_approval(owner.principal, "initech", now)
    _, queued = stories.request(owner.principal, "umbrella", now)
    draft = owner.api().post("/invoices", {"tenant": "acme", "period": f"{now:%Y-%m}"}).json()["id"]
    owner.api().post("/keys", {"name": "ci", "scopes": ["tenants:read"]})
    owner.api().post("/invitations", {"email": "grace@example.com", "role": "viewer"})
    owner.api().post("/tenants/acme/report-links", {})
    return [
        *(f"/operations/{each.pk}/" for each in (active[1], failed, waiting, queued)),
        f"/operations/{active[1].pk}/live/",
        f"/invoices/{draft}/",
    ]


#: Names that people or engines gave, and words that are the same in every language.
NAMES = re.compile(
    r"Acme Corporation|Freehold|Hooli|Initech|Umbrella|[\w.+-]+@[\w.-]+|Team O|Olivia|"
    r"Starter|Pro\b|objected to|Enterprise|Pulumi|"
    r"Postgres 16 on|Redis 6.2 on|pgvector on|agent runtime 0.1.0 on|no GPU \(this machine has none\)|"
    r"Applying failed at .*|could not bind .*|\w+ answers|usage of \w+|Base fee, from|Address already in use|"
    r"\d+ to create|"
    r"\d+ resources, \d+ usage spans open|The runtime answers: \w+|12 to \w+|Nothing was rolled back: .*|"
    r"(freehold-|local:|pulumi:|executor:)\S+|"
    r"\b[a-z-]+ \((freehold|local|pulumi):[\w:]+\)|\b[A-Z]{3}\b|"
    r"max connections|max memory mb|\d+ not_found|\b(expires at|tenant ids?|requires approval|api key)\b|"
    # Languages are named in themselves, and allauth has a catalogue of its own.
    r"English|Deutsch|The email address and/or password you specified are not correct|"
    # Zones, as the machine names them.
    r"\b(Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific)/[\w/+-]+|"
    r"\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b"
)
#: The tooltip of a badge keeps the words of the API.
API_WORDS = re.compile(r"(lifecycle|health|billing|operation|invoice|budget|run|snapshot): \w+")


def unnamed(piece: str) -> bool:
    """Whether there is a sentence in it, or a word that begins one; single small words are states and ids."""
    left = "" if API_WORDS.fullmatch(piece.strip()) else NAMES.sub("", piece)
    return bool(re.search(r"[A-Z][a-z]{2,}|[a-z]{2,}\s+[a-z]{2,}", left))


def test_every_text_of_a_page_is_marked(
    owner: Person, browse: Browse, lived_in: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(trans_real._translations, "de", Pseudo())
    client = browse(owner)
    client.post("/tenants/acme/budgets/new/", FORM)
    left: dict[str, list[str]] = {}
    for path in (*PAGES, *lived_in):
        answer = client.get(path, headers=GERMAN)
        assert "⟦" in answer.content.decode(), path
        if found := unmarked(answer.content.decode()):
            left[path] = found

    assert left == {}, "\n".join(f"{path}: {found}" for path, found in left.items())


@pytest.mark.parametrize(
    "html",
    [
        "<p>Nothing here</p>",
        "<h1>Members</h1>",
        '<a aria-label="Open it">⟦x⟧</a>',
        "<p>⟦marked⟧ and not marked</p>",
        "<p>⟦a <b>marked</b> one⟧</p><p>Forgotten</p>",
    ],
)
def test_a_text_that_is_not_marked_is_found(html: str) -> None:
    assert unmarked(html)


def test_data_and_marked_text_are_not_taken_for_forgotten() -> None:
    assert not unmarked("<p>⟦It is <b>marked</b>⟧</p><code>freehold tenants list</code><td>acme</td>")


def test_what_programs_read_is_the_same_in_both_languages(
    owner: Person, browse: Browse, lived_in: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Addresses, ids, names and values of fields, drawings, times and states: all but what people read."""
    moment = clock.now()
    monkeypatch.setattr(clock, "now", lambda: moment)
    client = browse(owner)
    for path in (*PAGES, *lived_in):
        english, german = (
            client.get(path, headers={**each, "x-request-id": "one"}).content.decode()
            for each in (ENGLISH, GERMAN)
        )
        assert_same(path, english, german)


def assert_same(path: str, english: str, german: str) -> None:
    # Tokens and keys are new in each answer.
    fresh = re.compile(r"csrfmiddlewaretoken|form_key")
    for left, right in zip(Read(english).rest, Read(german).rest, strict=True):
        if not fresh.search(str(left)):
            assert left == right, path


def test_files_and_the_api_stay_english(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    client = browse(owner)
    # Programs read the columns of a file: a spreadsheet's formulas or an import would break with the language.
    for path in ("/tenants/tenants.csv", "/audit/export.csv", "/margin/margin.csv"):
        heads = []
        for each in (ENGLISH, GERMAN):
            answer: Any = client.get(path, headers=each)
            assert answer.status_code == 200
            body = b"".join(answer)
            heads.append((answer.headers["Content-Type"], body.decode().splitlines()[0]))
        assert heads[0] == heads[1], path
    refused = owner.api().get("/tenants/nobody", headers=GERMAN)
    assert refused.json()["title"] == "Not found"


def test_the_browser_asks_and_the_cookie_decides(client: Client) -> None:
    asked = Page(client.get("/account/login/", headers=GERMAN))
    assert asked.all("html")[0]["lang"] == "de"
    assert "Angemeldet bleiben" in asked.text
    assert asked.headers["Content-Language"] == "de"
    assert "Accept-Language" in asked.headers["Vary"]

    client.cookies["django_language"] = "en"
    chosen = Page(client.get("/account/login/", headers=GERMAN))
    assert chosen.all("html")[0]["lang"] == "en"
    assert "Stay signed in" in chosen.text

    client.cookies["django_language"] = "tlh"
    assert Page(client.get("/account/login/")).all("html")[0]["lang"] == "en"


def test_refusals_speak_german(owner: Person, browse: Browse) -> None:
    client = browse(owner)
    lost = Page(client.get("/tenants/nobody/", headers=GERMAN))
    assert lost.status == 404
    assert "Nicht gefunden" in lost.text
    wrong = Page(client.post("/keys/", {"name": "", "scopes": "tenants:read"}, headers=GERMAN))
    assert wrong.status == 422
    assert "damit sich der Schlüssel von anderen unterscheidet" in wrong.text


def test_figures_read_by_language() -> None:
    now = clock.now()
    with override("de"):
        assert money_text("1234.5") == "1.234,50\N{NO-BREAK SPACE}$"
        assert money_text("-1234.5", "CHF") == "-1.234,50\N{NO-BREAK SPACE}CHF"
        assert quantity_text("1234567.500000") == "1.234.567,5"
        assert relative_text(now - timedelta(minutes=5), now) == "vor 5 min"
        assert relative_text(now - timedelta(days=1), now) == "vor 1 Tag"
        assert relative_text(now + timedelta(days=3), now) == "in 3 Tagen"
        assert relative_text(datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC)) == (
            "02. Mär 2026"
        )
    assert money_text("1234.5") == "$1,234.50"
    assert (
        relative_text(datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC)) == "02 Mar 2026"
    )


def test_scripts_say_what_the_page_brings_along(client: Client) -> None:
    """Every word of a script is in the table that is translated, and English pages bring nothing."""
    said = {text for path in SCRIPTS.glob("*.js") for text in re.findall(r'say\("([^"]+)"', path.read_text())}
    assert said - {".", "day", "days"} == {text for text in said if text in SCRIPT_WORDS}
    german = Page(client.get("/account/login/", headers=GERMAN))
    words = json.loads(german.all("html")[0]["data-words"])
    assert said - {"days"} <= set(words)
    assert words["%(time)s ago"] == "vor %(time)s"
    assert words["."] == ","
    assert "data-words" not in Page(client.get("/account/login/")).all("html")[0]
