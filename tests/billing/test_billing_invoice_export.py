"""From a line down to its events, and the chain that a customer can check alone."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from billing.invoicing.explain import line_explain
from billing.invoicing.export import invoice_export
from billing.invoicing.models import Invoice
from billing.metering.spans import spans_reconcile
from contracts.invoice_chain import chain, chain_verify, record_text
from contracts.stack import BillableResource
from controlplane.core.errors import Conflict, ValidationFailed
from tests.billing.shop import AT, CARD, OCTOBER, Shop, shop_make

GPU_CARD = {**CARD, "prices": [*CARD["prices"], {"meter": "gpu_hours", "unit_price": "2"}]}


@pytest.fixture
def shop(db: None) -> Shop:
    """Thirty events of two prices over three days, and a GPU that lived for ten hours and twenty minutes."""
    shop = shop_make(card=GPU_CARD)
    for number in range(30):
        shop.use(f"e{number:02}", 100 + number, day=10 + number % 3, model="m-1" if number % 2 else "other")
    gpu = BillableResource(meter="gpu_hours", slot=0, resource="gpu-0", dimensions={"model": "H100"})
    begun = OCTOBER.start + timedelta(days=2)
    for resources, at in (([gpu], begun), ([], begun + timedelta(hours=10, minutes=20))):
        spans_reconcile(tenant_id=shop.customer.id, resources=resources, at=at, operation_id=uuid4())
    return shop


@pytest.fixture
def invoice(shop: Shop) -> Invoice:
    return shop.issue()


def test_the_events_of_a_line_come_in_pages_and_add_up_to_it(shop: Shop, invoice: Invoice) -> None:
    shop.use("late", 10**6, known=AT + timedelta(days=1))
    for line in invoice.lines.filter(meter="input_tokens"):
        seen: list[dict[str, str]] = []
        cursor = None
        while True:
            page = line_explain(invoice=invoice, line=line, limit=4, after=cursor)
            assert len(page["events"]) <= 4
            seen += page["events"]
            if (cursor := page["next"]) is None:
                break
        assert len({event["id"] for event in seen}) == len(seen) == 15, "each once, the late one not at all"
        assert sum(Decimal(event["value"]) for event in seen) == line.used == line.quantity + line.included
        assert sum(Decimal(window["value"]) for window in page["windows"]) == line.used
        assert len(page["windows"]) == 3
        assert page["price"] is not None
        assert Decimal(page["price"]["unit_price"]) / 1000 * line.quantity == line.exact
        assert (page["rate_card"]["key"], page["rate_card"]["version"]) == ("pro", 3)


def test_a_price_without_conditions_explains_only_what_no_other_price_charged(invoice: Invoice) -> None:
    line = invoice.lines.get(key="input_tokens")
    events = line_explain(invoice=invoice, line=line, limit=200)["events"]
    assert all(int(event["id"].removeprefix("e")) % 2 == 0 for event in events)


def test_hours_are_explained_by_spans(invoice: Invoice) -> None:
    line = invoice.lines.get(meter="gpu_hours")
    told = line_explain(invoice=invoice, line=line)
    (span,) = told["events"]
    assert abs(Decimal(span["value"]) - line.used) < Decimal("1e-9")
    assert Decimal(span["value"]).quantize(Decimal("0.0001")) == Decimal("10.3333")


def test_a_base_fee_has_no_events_and_a_foreign_cursor_is_refused(invoice: Invoice) -> None:
    fee = invoice.lines.get(kind="base_fee")
    told = line_explain(invoice=invoice, line=fee)
    assert (told["events"], told["windows"], told["next"]) == ([], [], None)
    metered = invoice.lines.filter(meter="input_tokens")[0]
    for cursor in ("x", "bm90IGpzb24", "WzEsMl0"):
        with pytest.raises(ValidationFailed):
            line_explain(invoice=invoice, line=metered, after=cursor)


def _export(invoice: Invoice) -> list[str]:
    return list(invoice_export(invoice=invoice, at=AT))


def test_the_export_is_whole_the_same_each_time_and_carries_the_fingerprint(
    shop: Shop, invoice: Invoice
) -> None:
    lines = _export(invoice)
    report = chain_verify(lines, fingerprint=invoice.fingerprint)
    assert (report.ok, report.records) == (True, len(lines))
    shop.use("late", 10**6, known=AT + timedelta(days=1))
    assert _export(invoice) == lines
    invoice.refresh_from_db()
    assert chain_verify(lines, head=invoice.export.head).ok
    events = [json.loads(line) for line in lines if '"type":"event"' in line]
    assert len(events) == 31


def test_a_draft_is_not_exported(shop: Shop) -> None:
    from tests.billing.shop import NOVEMBER

    with pytest.raises(Conflict):
        invoice_export(invoice=shop.draft(NOVEMBER), at=AT)


def _changed(lines: list[str], kind: str, **data: Any) -> list[str]:
    records = [json.loads(line) for line in lines]
    index = next(number for number, record in enumerate(records) if record["type"] == kind)
    records[index]["data"] |= data
    return [record_text(record) + "\n" for record in records]


def _relinked(lines: list[str]) -> list[str]:
    """What somebody does who knows how the hashes are made."""
    records = [json.loads(line) for line in lines]
    return [record_text(record) + "\n" for record in chain((r["type"], r["data"]) for r in records)]


TAMPERED: dict[str, Callable[[list[str]], list[str]]] = {
    "an amount": lambda lines: _changed(lines, "line", amount="1.00"),
    "a value": lambda lines: _changed(lines, "event", value="1"),
    "the buyer": lambda lines: _changed(lines, "invoice", number="INV-000009"),
    "an event dropped": lambda lines: [line for line in lines if '"id":"e07"' not in line],
    "the end dropped": lambda lines: lines[:-1],
    "the start dropped": lambda lines: lines[1:],
    "two reordered": lambda lines: [*lines[:8], lines[9], lines[8], *lines[10:]],
    "one twice": lambda lines: [*lines[:8], lines[8], *lines[8:]],
    "something behind the end": lambda lines: [*lines, lines[-1]],
    "no record": lambda lines: [*lines[:4], "{}\n", *lines[4:]],
    "half a line": lambda lines: [*lines[:4], lines[4][:20]],
    "an event dropped, and linked anew": lambda lines: _relinked(
        [line for line in lines if '"id":"e07"' not in line]
    ),
    "a value, and linked anew": lambda lines: _relinked(_changed(lines, "event", value="1")),
    "an amount, and linked anew": lambda lines: _relinked(_changed(lines, "line", amount="1.00")),
    "nothing left": lambda lines: [],
}


@pytest.mark.parametrize("how", TAMPERED)
def test_tampering_shows(invoice: Invoice, how: str) -> None:
    lines = _export(invoice)
    assert chain_verify(lines).ok
    assert chain_verify(TAMPERED[how](lines)).problems


def test_what_no_sum_can_show_the_fingerprint_and_the_head_do(invoice: Invoice) -> None:
    lines = _export(invoice)
    renamed = _relinked(_changed(lines, "line", description="Something else"))
    assert chain_verify(renamed).ok
    assert chain_verify(renamed, fingerprint=invoice.fingerprint).problems
    moved = _relinked(_changed(lines, "event", time="2026-10-01T00:00:00Z"))
    assert chain_verify(moved, fingerprint=invoice.fingerprint).ok
    assert chain_verify(moved, head=invoice.export.head).problems


def test_a_customer_checks_it_with_one_file_and_nothing_else(invoice: Invoice, tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "contracts" / "invoice_chain.py"
    alone = tmp_path / "invoice_chain.py"
    alone.write_text(script.read_text())
    kept = tmp_path / "export.jsonl"
    lines = _export(invoice)
    kept.write_text("".join(lines))
    run = [sys.executable, "-I", str(alone), str(kept), "--fingerprint", invoice.fingerprint]
    good = subprocess.run(run, capture_output=True, text=True, check=False)
    assert (good.returncode, "Unbroken" in good.stdout) == (0, True)
    kept.write_text("".join(_changed(lines, "event", value="1")))
    bad = subprocess.run(run, capture_output=True, text=True, check=False)
    assert (bad.returncode, "was changed" in bad.stdout) == (1, True)
