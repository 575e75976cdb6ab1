"""A customer for the tests of invoices, closes and exports, with what a bookkeeper does to it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from billing.directory import BilledCustomer
from billing.invoicing import services
from billing.invoicing.models import Invoice
from billing.ledger.selectors import balances
from billing.metering.services import usage_ingest
from billing.period import Period, period_parse
from contracts.usage import MODEL_USAGE

OCTOBER = period_parse("2026-10")
NOVEMBER = period_parse("2026-11")
AT = datetime(2026, 11, 2, 6, tzinfo=UTC)
TEAM = UUID("0192aaaa-0000-7000-8000-000000000001")
CARD: dict[str, Any] = {
    "key": "pro", "version": 3, "currency": "USD", "base_fee": "100",
    "prices": [
        {"meter": "input_tokens", "unit_price": "3", "per": 1000, "match": {"model": "m-1"}},
        {"meter": "input_tokens", "unit_price": "1", "per": 1000},
    ],
}  # fmt: skip


@dataclass
class Shop:
    """A customer, its usage, and the verbs of a bookkeeper."""

    customer: BilledCustomer

    def use(
        self, event_id: str, tokens: int, *, day: int = 10, model: str = "m-1", known: datetime = AT
    ) -> None:
        event = {
            "specversion": "1.0", "id": event_id, "source": f"/tenants/{self.customer.slug}/runtime/0",
            "type": MODEL_USAGE, "subject": self.customer.slug,
            "time": datetime(2026, 10, day, 12, 7, tzinfo=UTC).isoformat(),
            "data": {"run_id": "r", "step": 1, "user": "u", "agent": "a", "model": model, "input_tokens": tokens},
        }  # fmt: skip
        answer = usage_ingest(
            tenant_id=self.customer.id, subject=self.customer.slug, events=[event], received_at=known
        )
        assert answer.accepted == 1

    def draft(self, period: Period = OCTOBER, at: datetime = AT) -> Invoice:
        return services.invoice_draft(customer=self.customer, period=period, at=at, actor="t")

    def issue(self, period: Period = OCTOBER, at: datetime = AT) -> Invoice:
        invoice = self.draft(period, at)
        return services.invoice_finalize(invoice=invoice, customer=self.customer, at=at, actor="t")

    def balance(self, account: str) -> Decimal:
        return balances(tenant_id=self.customer.id).get(
            (self.customer.rate_card["currency"], account), Decimal(0)
        )


def shop_make(slug: str = "acme", card: dict[str, Any] = CARD, **changes: Any) -> Shop:
    customer = BilledCustomer(
        id=uuid4(), team_id=TEAM, slug=slug, name="Acme", created_at=datetime(2026, 1, 1, tzinfo=UTC),
        ended_at=None, contact_email="pay@acme.example", rate_card=card,
    )  # fmt: skip
    return Shop(replace(customer, **changes))


class Street:
    """The directory of the customers of a test; settings.BILLING_CUSTOMERS names it."""

    shops: list[Shop] = []

    def customers(self, *, team_id: UUID | None = None) -> Iterator[BilledCustomer]:
        yield from (shop.customer for shop in self.shops if team_id in (None, shop.customer.team_id))

    def customer(self, *, tenant_id: UUID) -> BilledCustomer | None:
        return next((shop.customer for shop in self.shops if shop.customer.id == tenant_id), None)
