"""Two languages: nothing a person reads is left unmarked, and nothing a program reads changes with the language."""

import gettext
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client
from django.utils.translation import trans_real

from billing.budgets.models import Budget
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.portal.figures import money_text, quantity_text, relative_text
from controlplane.tenants.models import Tenant
from tests.portal import stories
from tests.portal.conftest import Browse, Page
from tests.portal.test_budgets import FORM
from tests.support.people import Person
from tools.messages import extract

pytestmark = pytest.mark.usefixtures("quiet_doorbell")

PAGES = (
    "/",
    "/tenants/",
    "/tenants/?q=nobody",
    "/tenants/new/",
    "/operations/",
    "/operations/?tenant=nobody",
    "/operations/failures/",
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


#: Names that people gave, and words that are the same in every language.
NAMES = re.compile(
    r"Acme Corporation|Freehold|acme|hooli|initech|umbrella|Hooli|Initech|Umbrella|[\w.+-]+@[\w.-]+|UTC|JSON|CSV|PDF|"
    r"Starter|Scale|Pro\b|min\b|(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b"
)


def test_every_text_of_a_page_is_marked(
    owner: Person, browse: Browse, lived_in: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(trans_real._translations, "de", Pseudo())
    client = browse(owner)
    client.post("/tenants/acme/budgets/new/", FORM)
    left: dict[str, list[str]] = {}
    for path in (*PAGES, *lived_in):
        answer = client.get(path, headers={"accept-language": "de"})
        assert "⟦" in answer.content.decode(), path
        if found := unmarked(answer.content.decode()):
            left[path] = found

    assert left == {}, "\n".join(f"{path}: {found}" for path, found in left.items())


def unnamed(piece: str) -> bool:
    return bool(re.search(r"[A-Za-z]{3,}", NAMES.sub("", piece)))
