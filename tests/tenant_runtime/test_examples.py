"""The example agents end to end: mail that is triaged, approved and sent once; a price that is watched for ever."""

import base64
import json
import secrets
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook

from tenant_runtime.agents.examples.mail import send_mail
from tenant_runtime.agents.examples.price_monitor import moved_by, price_find
from tenant_runtime.database import MIGRATIONS, Pool, pool_open
from tenant_runtime.database_login import UrlLogin
from tenant_runtime.errors import SettingsInvalid, ToolFailed
from tenant_runtime.gateway.pages import page_destination, page_text
from tenant_runtime.gateway.tools import ToolContext
from tenant_runtime.models.offline.rules import reply
from tenant_runtime.settings import PAGES_ALLOW, Reader
from tests.tenant_runtime.support import RuntimeProcess, runtime_environment, runtime_started, wait_until

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
REFUND = "Refunds of a double charge reach the card within five working days after the invoice was corrected."
PAGE = (
    "<html><head><title>9 EUR</title></head><body><h1>Kettle K2</h1><p>Now {price} &euro;</p></body></html>"
)


@dataclass
class Outside:
    """A mail service and a shop: the judges of what reached the world."""

    url: str = ""
    mails: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    mail_status: int = 202
    price: str = "100,00"
    page_status: int = 200


@contextmanager
def outside_started() -> Iterator[Outside]:
    outside = Outside()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            outside.mails.append((self.headers["Idempotency-Key"], body))
            self._answer(outside.mail_status, b"{}", "application/json")

        def do_GET(self) -> None:
            if self.path == "/elsewhere":
                self.send_response(302)
                self.send_header("Location", "http://127.0.0.1:1/")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self._answer(outside.page_status, PAGE.format(price=outside.price).encode(), "text/html")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    outside.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield outside
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    with outside_started() as running:
        yield running


@pytest.fixture(scope="module")
def serving(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str], outside: Outside
) -> Iterator[RuntimeProcess]:
    """The manifest that ships, with everything its agents can be given."""
    environment = runtime_environment(
        new_database(), MAIL_TRIGGER_SECRET=SECRET, RUNTIME_MAIL_URL=f"{outside.url}/send",
        RUNTIME_PAGES_ALLOW=outside.url,
    )  # fmt: skip
    with runtime_started(tmp_path_factory.mktemp("examples"), environment) as running:
        running.ingest({"path": "support/refunds.md", "title": "Refunds", "text": f"# Refunds\n\n{REFUND}"})
        yield running


# --- the mail triager -------------------------------------------------------------------------------------
def mail_in(runtime: RuntimeProcess, subject: str, text: str) -> dict[str, str]:
    """A customer's mail as a mail gateway would post it; the trigger's answer."""
    message_id = f"<{uuid.uuid4()}@customer.example>"
    body = json.dumps(
        {"from": "ida@customer.example", "subject": subject, "text": text, "message_id": message_id}
    )
    moment = datetime.now(UTC)
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(message_id, moment, body),
    }
    with runtime.http(None) as http:
        answer = http.post("/triggers/mail", content=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


async def asked(runtime: RuntimeProcess, started: dict[str, str]) -> dict[str, Any]:
    client = runtime.sdk()
    await client.runs.join(started["thread_id"], started["run_id"])
    interrupts = (await client.threads.get(started["thread_id"]))["interrupts"]
    ((question,),) = interrupts.values()
    return dict(question["value"])


async def test_a_mail_is_triaged_and_sent_once_a_person_agrees(
    serving: RuntimeProcess, outside: Outside
) -> None:
    outside.mails.clear()
    started = mail_in(
        serving, "Charged twice", "My card was charged twice for one invoice. When does the refund arrive?"
    )
    question = await asked(serving, started)
    assert (question["kind"], question["category"], question["urgent"]) == ("approve_reply", "billing", False)
    assert "within five working days" in question["text"]
    assert question["sources"] == ["support/refunds.md"]
    assert outside.mails == []
    client, thread = serving.sdk(), started["thread_id"]
    # What is no decision is asked again, and sends nothing.
    await client.runs.wait(thread, "mail_triager", command={"resume": "yes"})
    assert "problem" in await asked(serving, started)
    assert outside.mails == []
    values = await client.runs.wait(thread, "mail_triager", command={"resume": {"approve": True}})
    assert isinstance(values, dict)
    assert values["outcome"] == "sent"
    ((key, mail),) = outside.mails
    assert (mail["to"], mail["subject"]) == ("ida@customer.example", "Re: Charged twice")
    assert mail["text"] == question["text"]
    assert uuid.UUID(key)


async def test_other_words_a_refusal_and_spam(serving: RuntimeProcess, outside: Outside) -> None:
    outside.mails.clear()
    client = serving.sdk()
    started = mail_in(serving, "Login broken", "The login shows an error since the outage, urgent!")
    question = await asked(serving, started)
    assert (question["category"], question["urgent"]) == ("technical", True)
    assert "A colleague will look into it" in question["text"]
    changed = {"approve": True, "text": "We are on it."}
    await client.runs.wait(started["thread_id"], "mail_triager", command={"resume": changed})
    assert [mail["text"] for _, mail in outside.mails] == ["We are on it."]
    started = mail_in(serving, "Hello", "Nice weather over here.")
    assert (await asked(serving, started))["category"] == "other"
    values = await client.runs.wait(
        started["thread_id"], "mail_triager", command={"resume": {"approve": False}}
    )
    assert isinstance(values, dict)
    assert values["outcome"] == "rejected"
    started = mail_in(serving, "You are a winner", "The casino lottery chose you.")
    values = await client.runs.join(started["thread_id"], started["run_id"])
    assert isinstance(values, dict)
    assert (values["category"], values["outcome"]) == ("spam", "ignored")
    assert len(outside.mails) == 1


async def test_a_mail_whose_fate_nobody_knows_is_put_before_a_person(
    serving: RuntimeProcess, outside: Outside
) -> None:
    outside.mails.clear()
    outside.mail_status = 502
    client = serving.sdk()
    started = mail_in(serving, "Invoice", "Which invoice did I pay by card?")
    await asked(serving, started)
    thread = started["thread_id"]
    run = await client.runs.create(thread, "mail_triager", command={"resume": {"approve": True}})
    await client.runs.join(thread, run["run_id"])
    assert (await client.runs.get(thread, run["run_id"]))["status"] == "error"
    assert len(outside.mails) == 1
    outside.mail_status = 202
    await client.runs.wait(thread, "mail_triager", input=None)
    ((question,),) = (await client.threads.get(thread))["interrupts"].values()
    assert (question["value"]["type"], question["value"]["tool"]) == ("step_unknown", "send_mail")
    answer = {"outcome": "done", "result": {"delivery": "sent"}}
    values = await client.runs.wait(thread, "mail_triager", command={"resume": answer})
    assert isinstance(values, dict)
    assert values["outcome"] == "sent"
    assert len(outside.mails) == 1


@pytest.fixture
async def pool(new_database: Callable[[], str]) -> AsyncIterator[Pool]:
    async with pool_open(UrlLogin(new_database()), 2) as opened:
        async with opened.connection() as conn:
            (recorded,) = MIGRATIONS.glob("*_recorded_mail.sql")
            await conn.execute(recorded.read_text())
        yield opened


async def test_without_a_mail_service_mails_are_recorded(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_MAIL_URL", raising=False)
    arguments = send_mail.arguments(to="ida@customer.example", subject="Re: Hi", text="Hello.")
    context = ToolContext(None, None, str(uuid.uuid4()), pool)  # type: ignore[arg-type]
    for _ in range(2):
        assert (await send_mail.run(arguments, context))["delivery"] == "recorded"
    async with pool.connection() as conn:
        rows = await (await conn.execute("SELECT recipient, body FROM recorded_mail")).fetchall()
    assert rows == [{"recipient": "ida@customer.example", "body": "Hello."}]
    for bad in ({"to": "a@b, c@d"}, {"subject": "x\r\nBcc: all@customer.example"}):
        with pytest.raises(ValueError, match="validation error"):
            send_mail.arguments(**({"to": "a@b", "subject": "s", "text": "t"} | bad))


# --- the price monitor ------------------------------------------------------------------------------------
def watch(outside: Outside, **more: Any) -> dict[str, Any]:
    return {"url": f"{outside.url}/kettle", "product": "Kettle K2", "threshold_percent": 5} | more


async def test_a_price_is_told_when_it_moved_far_enough(serving: RuntimeProcess, outside: Outside) -> None:
    client = serving.sdk()
    thread = (await client.threads.create())["thread_id"]

    async def looked(**more: Any) -> dict[str, Any]:
        values = await client.runs.wait(thread, "price_monitor", input=watch(outside, **more))
        assert isinstance(values, dict)
        return values

    outside.price = "1.000,00"
    first = await looked()
    assert (first["price"], first["currency"], first["moved"]) == ("1000.00", "EUR", False)
    # A drift in steps below the threshold is told once it adds up.
    outside.price = "1.040,00"
    assert not (await looked())["moved"]
    outside.price = "1.080,00"
    told = await looked()
    assert told["moved"]
    assert told["messages"][-1]["content"] == "Kettle K2: 1000.00 EUR before, 1080.00 EUR now (+8.0 %)."
    outside.page_status = 503
    assert (await looked())["problem"] == "page_status"
    outside.page_status, outside.price = 200, "sold out"
    assert (await looked())["problem"] == "price_missing"
    assert (await looked(url=f"{outside.url}/elsewhere"))["problem"] == "page_redirects"
    assert (await looked(url="http://169.254.169.254/latest"))["problem"] == "page_not_allowed"


async def test_a_monitor_that_sleeps_between_its_looks(serving: RuntimeProcess, outside: Outside) -> None:
    outside.page_status, outside.price = 200, "20.00"
    client = serving.sdk()
    thread = (await client.threads.create())["thread_id"]
    run = await client.runs.create(
        thread, "price_monitor", input=watch(outside, product="Kettle", every_s=1, most_looks=3)
    )

    def asleep() -> bool:
        with serving.http() as http:
            found = http.get(f"/threads/{thread}/runs/{run['run_id']}").json()
            return bool(found["status"] == "pending")

    wait_until(asleep, 10, "the run to sleep")
    outside.price = "30.00"
    values = await client.runs.join(thread, run["run_id"])
    assert isinstance(values, dict)
    assert values["looks"] == 3
    assert [message["content"] for message in values["messages"]] == [
        "Kettle: 20.00 EUR before, 30.00 EUR now (+50.0 %)."
    ]


@pytest.mark.parametrize(
    ("text", "product", "found"),
    [
        ("Kettle K2\nonly $1,234.50 today", "Kettle K2", ("1234.50", "USD")),
        ("Toaster\n19,99 €\nKettle K2\n49,90 €", "kettle K2", ("49.90", "EUR")),
        ("Kettle CHF 1'080", "kettle", ("1080.00", "CHF")),
        ("Kettle 9.5 EUR", "kettle", ("9.50", "EUR")),
        ("Kettle, 4 pieces", "kettle", None),
        ("Toaster 5 EUR", "kettle", None),
    ],
)
def test_prices_are_found_near_their_product(text: str, product: str, found: tuple[str, str] | None) -> None:
    assert price_find(text, product) == (found and (Decimal(found[0]), found[1]))


def test_a_change_is_measured_by_the_price_before() -> None:
    assert moved_by(Decimal(100), Decimal(95)) == Decimal(-5)
    assert moved_by(Decimal(0), Decimal(1)) == Decimal(100)


# --- pages ------------------------------------------------------------------------------------------------
ALLOWED = {PAGES_ALLOW: "https://shop.example, http://127.0.0.1:8080, https://localhost"}


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/",
        "https://shop.example:8443/",
        "https://shop.example.evil.example/",
        "https://user@shop.example/",
        "http://127.0.0.1:8081/",
        "http://[::ffff:127.0.0.1]:8080/",
        "file:///etc/passwd",
        # Allowed by name, and leads inside all the same.
        "https://localhost/",
    ],
)
def test_pages_elsewhere_are_not_read(url: str) -> None:
    with pytest.raises(ToolFailed) as refused:
        page_destination(url, environ=ALLOWED)
    assert refused.value.code == "page_not_allowed"


def test_an_address_the_operator_wrote_is_read() -> None:
    assert (
        page_destination("http://127.0.0.1:8080/a?b=1", environ=ALLOWED).url == "http://127.0.0.1:8080/a?b=1"
    )
    with pytest.raises(SettingsInvalid, match="wanted origins"):
        Reader({PAGES_ALLOW: "https://shop.example/path"}).origins(PAGES_ALLOW)


def test_a_pages_text_is_what_a_reader_sees() -> None:
    html = "<head><title>no</title></head><p>One <b>two</b></p><script>no()</script><p>&euro; 3</p>"
    assert page_text(html, html=True) == "One two\n€ 3"


# --- what the offline model chooses -----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "chosen"), [("my car is red", "red"), ("cold and wet", "blue"), ("nothing of it", "other")]
)
def test_the_offline_model_chooses_the_value_that_shares_words(text: str, chosen: str) -> None:
    schema = {
        "type": "object",
        "properties": {
            "colour": {"type": "string", "enum": ["red", "blue", "other"], "description": "blue: cold"}
        },
    }
    answer = reply(
        [{"role": "user", "content": text}],
        response_format={"type": "json_schema", "json_schema": {"name": "c", "schema": schema}},
    )
    assert json.loads(answer.text or "") == {"colour": chosen}
