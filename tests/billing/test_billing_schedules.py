"""Reports by the clock: due when they say, written once, and a failure is seen."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from pypdf import PdfReader

from billing.directory import BilledCustomer
from billing.reports.models import ReportDelivery, ReportSchedule
from billing.reports.schedules import (
    MOST_ATTEMPTS,
    TRY_AGAIN,
    report_schedule_create,
    report_schedule_representation,
    report_schedule_update,
    reports_write_due,
)
from billing.reports.timing import due_after, period_about
from controlplane.core.errors import OperatorError, ValidationFailed
from controlplane.core.models import OutboundMessage

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, 2, tzinfo=UTC)
CARD = {"key": "pro", "version": 1, "base_fee": "10", "prices": []}


class House:
    def __init__(self) -> None:
        self.team, self.broken = uuid4(), False
        created = datetime(2026, 10, 5, tzinfo=UTC)
        self.acme = BilledCustomer(uuid4(), self.team, "acme", "Acme", created, None, "", CARD)

    def customers(self, *, team_id: UUID | None = None) -> Iterator[BilledCustomer]:
        yield self.acme

    def customer(self, *, tenant_id: UUID) -> BilledCustomer | None:
        if self.broken:
            raise OperatorError("The price list is torn.")
        return self.acme if tenant_id == self.acme.id else None

    def schedule(self, cadence: str = "monthly", tenant: bool = True, **fields: Any) -> ReportSchedule:
        wanted = {"emails": ["a@example.com"], "secret_bytes": bytes(32), **fields}
        schedule, _ = report_schedule_create(
            team_id=self.team, tenant_id=self.acme.id if tenant else None, cadence=cadence, actor="test", now=NOW,
            **wanted,
        )  # fmt: skip
        return schedule


@pytest.fixture
def house(db: None, monkeypatch: pytest.MonkeyPatch) -> House:
    found = House()
    monkeypatch.setattr("billing.reports.schedules.directory", lambda: found)
    return found


@pytest.mark.parametrize(
    ("cadence", "moment", "due", "about"),
    [
        ("monthly", "2026-11-21T10:00", "2026-12-01T02:00", "2026-11"),
        ("monthly", "2026-12-01T01:59", "2026-12-01T02:00", "2026-11"),
        ("monthly", "2026-12-01T02:00", "2027-01-01T02:00", "2026-12"),
        ("weekly", "2026-11-21T10:00", "2026-11-23T02:00", "2026-11"),
        ("weekly", "2026-11-23T02:00", "2026-11-30T02:00", "2026-11"),
        ("weekly", "2026-11-23T01:00", "2026-11-23T02:00", "2026-11"),
        ("weekly", "2027-01-29T00:00", "2027-02-01T02:00", "2027-01"),
    ],
)
def test_when_reports_are_due_and_what_they_are_about(
    cadence: str, moment: str, due: str, about: str
) -> None:
    found = due_after(cadence, datetime.fromisoformat(moment).replace(tzinfo=UTC))
    assert found == datetime.fromisoformat(due).replace(tzinfo=UTC)
    assert period_about(found) == about


def test_a_report_is_written_once_for_each_time(house: House) -> None:
    schedule = house.schedule()
    assert reports_write_due(now=DECEMBER - timedelta(seconds=1)) == 0
    assert reports_write_due(now=DECEMBER) == 1
    assert reports_write_due(now=DECEMBER) == 0
    ReportSchedule.objects.filter(pk=schedule.pk).update(next_at=DECEMBER)
    assert reports_write_due(now=DECEMBER) == 0, "its row decides, whatever the clock believes"
    (message,) = OutboundMessage.objects.all()
    assert (message.subject, message.recipients) == ("Usage of acme, 2026-11", ["a@example.com"])
    (file,) = message.attachments.all()
    assert file.name == "usage-acme-2026-11.pdf"
    assert "10.00" in PdfReader(io.BytesIO(bytes(file.content))).pages[0].extract_text()
    shown = report_schedule_representation(ReportSchedule.objects.get(), tenant="acme")
    assert shown["next_at"] == "2027-01-01T02:00:00Z"
    assert [(row["period"], row["problem"]) for row in shown["deliveries"]] == [("2026-11", "")]
    assert shown["deliveries"][0]["messages"][0]["state"] == "pending"


def test_times_that_were_missed_are_one_report(house: House) -> None:
    house.schedule("weekly")
    later = NOW + timedelta(days=40)
    assert reports_write_due(now=later) == 1
    assert ReportSchedule.objects.get().next_at > later
    assert ReportDelivery.objects.get().due_on.isoformat() == "2026-11-23"


def test_the_fleets_report_goes_to_a_webhook_as_data(house: House) -> None:
    house.schedule(tenant=False, emails=[], webhook_url="https://hooks.example.com/in")
    assert reports_write_due(now=DECEMBER) == 1
    (message,) = OutboundMessage.objects.all()
    import json

    body = json.loads(message.body)
    assert body["type"] == "usage_report.ready"
    assert [row["tenant"] for row in body["data"]["report"]["tenants"]] == ["acme"]
    assert body["data"]["report"]["totals"] == [{"currency": "USD", "tenants": 1, "estimated_total": "10.00"}]


def test_a_failure_is_seen_and_tried_again_within_bounds(house: House) -> None:
    house.schedule()
    house.broken = True
    assert reports_write_due(now=DECEMBER) == 0
    shown = report_schedule_representation(ReportSchedule.objects.get(), tenant="acme")
    assert shown["deliveries"][0]["problem"] == "The price list is torn."
    assert reports_write_due(now=DECEMBER + timedelta(minutes=1)) == 0
    at = DECEMBER
    for _ in range(MOST_ATTEMPTS + 5):
        at += TRY_AGAIN
        reports_write_due(now=at)
    assert ReportDelivery.objects.get().attempts == MOST_ATTEMPTS
    house.broken = False
    assert reports_write_due(now=at + TRY_AGAIN) == 0, "given up"
    ReportDelivery.objects.update(attempts=1)
    assert reports_write_due(now=at + TRY_AGAIN) == 1
    assert ReportDelivery.objects.get().problem == ""


def test_a_writer_that_died_is_followed_by_another(house: House) -> None:
    schedule = house.schedule()
    ReportSchedule.objects.update(next_at=DECEMBER + timedelta(days=31))
    ReportDelivery.objects.create(
        schedule=schedule, due_on=DECEMBER.date(), period="2026-11", problem="It is being written.",
        attempts=1, created_at=DECEMBER,
    )  # fmt: skip
    assert reports_write_due(now=DECEMBER + timedelta(minutes=5)) == 0
    assert reports_write_due(now=DECEMBER + TRY_AGAIN) == 1


def test_one_that_rests_sends_nothing_and_catches_nothing_up(house: House) -> None:
    schedule = house.schedule()
    report_schedule_update(
        schedule=schedule, changes={"active": False}, actor="t", now=NOW, secret_bytes=bytes(32)
    )
    assert reports_write_due(now=DECEMBER) == 0
    report_schedule_update(
        schedule=schedule, changes={"active": True}, actor="t", now=DECEMBER + timedelta(days=3),
        secret_bytes=bytes(32),
    )  # fmt: skip
    assert reports_write_due(now=DECEMBER + timedelta(days=3)) == 0


def test_a_schedule_tells_somebody(house: House) -> None:
    for fields in ({"emails": []}, {"emails": ["nobody"]}, {"cadence": "daily"}, {"format": "xml"}):
        with pytest.raises(ValidationFailed):
            house.schedule(**fields)
    assert not ReportSchedule.objects.exists()
