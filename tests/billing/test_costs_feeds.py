"""Reading bills: the formats, their tags, and what is wrong by line. Pure but for unpacking."""

import gzip
import io
from datetime import date
from typing import Any

import pytest

from billing.costs.feeds import Feed, FeedLine, FeedProblem, feed_read
from billing.costs.unpacking import text_lines
from tests.support.feeds import CUR2, cur, focus, table
from tests.support.ledger import D


def read(text: str | bytes) -> list[FeedLine | FeedProblem]:
    raw = text.encode() if isinstance(text, str) else text
    found = feed_read(text_lines(io.BytesIO(raw)))
    return [found] if isinstance(found, FeedProblem) else list(found.lines)


def line(text: str | bytes) -> FeedLine:
    (found,) = read(text)
    assert isinstance(found, FeedLine), found
    return found


def test_a_line_of_cur_2() -> None:
    found = line(cur({}))
    assert (found.number, found.billing_period, found.tag, found.day) == (
        2,
        "2026-11",
        "acme",
        date(2026, 11, 3),
    )
    assert (found.amount, found.currency, found.final, found.service) == (
        D("10.5"),
        "USD",
        False,
        "AmazonEC2",
    )
    assert line(cur({"bill_invoice_id": "EUINEU26-1"})).final


def test_the_older_report_is_the_same_line() -> None:
    older = {
        "identity/LineItemId": "l-1",
        "identity/TimeInterval": CUR2["identity_time_interval"],
        "bill/InvoiceId": "",
        "bill/BillingPeriodStartDate": "2026-11-01T00:00:00Z",
        "lineItem/UsageStartDate": "2026-11-03T00:00:00Z",
        "lineItem/UnblendedCost": "10.5",
        "lineItem/CurrencyCode": "USD",
        "lineItem/ProductCode": "AmazonEC2",
        "resourceTags/user:freehold:tenant": "acme",
    }
    assert line(table([older])) == line(cur({}))


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("resource_tags", '{"user_freehold_tenant":"acme"}'),
        ("resource_tags", '{"user:freehold:tenant":"acme","user:team":"x"}'),
        ("tags", '{"resourceTags/freehold:tenant":"acme"}'),
        ("resource_tags_user_freehold_tenant", "acme"),
    ],
)
def test_the_tag_under_each_name_that_exports_give_it(column: str, cell: str) -> None:
    row = {key: value for key, value in CUR2.items() if key != "resource_tags"}
    assert line(table([{**row, column: cell}])).tag == "acme"


def test_another_tag_that_ends_alike_is_not_ours() -> None:
    assert line(cur({"resource_tags": '{"user_other_freehold_tenant":"acme"}'})).tag == ""
    assert line(cur({"resource_tags": ""})).tag == ""


def test_a_negotiated_price_comes_before_the_list_price() -> None:
    assert line(cur({"line_item_net_unblended_cost": "9.1"})).amount == D("9.1")
    assert line(cur({"line_item_net_unblended_cost": ""})).amount == D("10.5")


def test_amounts_are_exact_to_twelve_places() -> None:
    cells = {
        "0.0000000001": "0.0000000001",
        "1.5E-7": "0.00000015",
        "-3.2": "-3.2",
        "0.30000000000000004": "0.3",
    }
    assert {cell: line(cur({"line_item_unblended_cost": cell})).amount for cell in cells} == {
        cell: D(amount) for cell, amount in cells.items()
    }


def test_focus_lines_are_told_apart_by_what_they_are_about() -> None:
    first, second, third = read(focus({}, {}, {"ResourceId": "vm-2"}))
    assert isinstance(first, FeedLine)
    assert (first.amount, first.tag, first.service, first.final) == (
        D("10.5"),
        "acme",
        "Virtual machines",
        False,
    )
    ids = {each.line_id for each in (first, second, third) if isinstance(each, FeedLine)}
    assert len(ids) == 3
    again = line(focus({"BilledCost": "11", "InvoiceId": "i-1", "Tags": "{}"}))
    assert (again.line_id, again.final) == (first.line_id, True), "cost, tags and invoice may change later"


def test_gzip_and_a_byte_order_mark() -> None:
    plain = cur({})
    assert line(gzip.compress(plain.encode())) == line(plain)
    assert line(b"\xef\xbb\xbf" + plain.encode()) == line(plain)


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ({"line_item_unblended_cost": "ten"}, "is no amount"),
        ({"line_item_unblended_cost": "NaN"}, "is no amount"),
        ({"line_item_unblended_cost": "1e30"}, "is no amount"),
        ({"line_item_currency_code": "XYZ"}, "is no currency"),
        ({"line_item_usage_start_date": "yesterday"}, "is no time"),
        ({"resource_tags": "{"}, "is no JSON"),
        ({"resource_tags": "[]"}, "is no map"),
        ({"identity_line_item_id": ""}, "is empty"),
    ],
)
def test_a_malformed_line_is_named_and_the_others_are_read(cells: dict[str, Any], says: str) -> None:
    first, wrong, last = read(cur({}, cells, {}))
    assert isinstance(wrong, FeedProblem)
    assert (wrong.number, says in wrong.detail) == (3, True), wrong.detail
    assert isinstance(first, FeedLine)
    assert isinstance(last, FeedLine)


def test_lines_that_cannot_be_lines() -> None:
    twice = read(cur({}, {"identity_line_item_id": "l-1"}))
    assert isinstance(twice[1], FeedProblem)
    short = read(cur({}) + "a,b\n")
    assert isinstance(short[1], FeedProblem)
    assert "fields" in short[1].detail


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"a,b\n1,2\n", "neither CUR"),
        (b"line_item_unblended_cost\n1\n", "columns are missing"),
        (b"BilledCost\n1\n", "columns are missing"),
        (gzip.compress(cur({}).encode())[:-12], "gzip"),
        (b"\x1f\x8bnothing", "gzip"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_files_that_cannot_be_read(content: bytes, says: str) -> None:
    problems = [each for each in read(content) if isinstance(each, FeedProblem)]
    assert problems
    assert says in problems[-1].detail


def test_the_format_is_told_by_the_header() -> None:
    formats = [feed_read(iter(text.splitlines(keepends=True))) for text in (cur({}), focus({}))]
    assert [each.format for each in formats if isinstance(each, Feed)] == ["cur", "focus"]
