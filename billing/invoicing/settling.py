"""Late usage and corrections of a month that is invoiced: settled by the difference, once."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing.charges.selectors import charges_of
from billing.directory import BilledCustomer
from billing.exact import WIDE, exact_product
from billing.invoicing import states
from billing.invoicing.credit_notes import credit_note_issue
from billing.invoicing.drafts import (
    DraftLine,
    correction_lines,
    line_data,
    line_of_charge,
    line_of_data,
    line_of_store,
    subtotal_of,
)
from billing.invoicing.issuing import Composed, invoice_issue, period_of_invoice
from billing.invoicing.locks import tenant_invoices_lock
from billing.invoicing.models import CreditNote, Invoice, Settlement
from controlplane.core.errors import Conflict
from controlplane.core.ids import uuid7

#: What identifies a charge between two ratings of the same period.
Identity = tuple[str, str, datetime, datetime]


def late_usage_settle(
    *, invoice: Invoice, customer: BilledCustomer, at: datetime, actor: str, at_once: bool = False
) -> Settlement | None:
    """Re-rates the invoice's period with what is known at `at`, against what was settled: the invoice, and the
    settlements of it that were invoiced or credited.

    A positive difference waits for the next invoice as correction lines, or is a correction invoice `at_once`; a
    negative one is a credit note. Done again with nothing new, it changes nothing, nor does it once more was known
    than at `at`. Returns the settlement that
    stands, None where there is no difference. Raises Conflict (`invoice_not_settled`) unless the invoice is a
    month's and issued.
    """
    with transaction.atomic():
        tenant_invoices_lock(tenant_id=invoice.tenant_id)
        invoice.refresh_from_db()
        if invoice.kind != states.REGULAR or invoice.state not in states.ISSUED:
            raise Conflict(
                f"A {invoice.kind} invoice that is {invoice.state} cannot be settled.",
                code="invoice_not_settled",
            )
        newer = invoice.settlements.exclude(state=states.DROPPED).filter(known_at__gt=at)
        if (known_better := newer.order_by("-known_at").first()) is not None:
            return known_better
        lines = _differences(invoice, customer, at)
        settlement = _settlement_stand(invoice, lines, at)
        if settlement is None:
            return None
        if settlement.state == states.PENDING and settlement.net < 0:
            _credit(invoice, settlement, at, actor)
        elif settlement.state == states.PENDING and at_once:
            _invoice_at_once(invoice, settlement, customer, at, actor)
    return settlement


def _differences(invoice: Invoice, customer: BilledCustomer, at: datetime) -> list[DraftLine]:
    """By how much each charge differs; charges that do not differ are left out, all of them when the sum is zero."""
    rated = charges_of(
        customer=customer,
        period=period_of_invoice(invoice),
        as_of=at,
        known_at=at,
        fallback=customer.fallback,
    )
    if rated.currency != invoice.currency:
        raise Conflict(
            f"The period's terms are in {rated.currency} now, and it was invoiced in {invoice.currency}.",
            code="currency_changed",
        )
    now = {_identity(line): line for line in map(line_of_charge, rated.lines)}
    before = _settled(invoice)
    changed = [
        _difference(now.get(identity), before.get(identity)) for identity in dict.fromkeys([*before, *now])
    ]
    lines = [line for line in changed if line.amount]
    return lines if subtotal_of(lines) else []


def _settled(invoice: Invoice) -> dict[Identity, DraftLine]:
    own = invoice.lines.exclude(kind__in=("tax", "correction")).order_by("position")
    lines = [line_of_store(line) for line in own]
    for row in invoice.settlements.filter(state__in=(states.INVOICED, states.CREDITED)).order_by(
        "created_at"
    ):
        lines += [line_of_data(data, row.pk) for data in row.lines]
    return _summed(lines)


def _summed(lines: Iterable[DraftLine]) -> dict[Identity, DraftLine]:
    found: dict[Identity, DraftLine] = {}
    for line in lines:
        identity = _identity(line)
        found[identity] = line if identity not in found else _combined(found[identity], line, 1)
    return found


def _difference(now: DraftLine | None, before: DraftLine | None) -> DraftLine:
    if before is None:
        assert now is not None
        return now
    if now is None:
        zero = Decimal(0)
        nothing = replace(before, used=zero, included=zero, quantity=zero, exact=zero, amount=zero)
        return replace(_combined(nothing, before, -1), parts=[])
    return replace(_combined(now, before, -1), parts=[])


def _combined(left: DraftLine, right: DraftLine, sign: int) -> DraftLine:
    def both(of_left: Decimal, of_right: Decimal) -> Decimal:
        return WIDE.add(of_left, exact_product(Decimal(sign), of_right))

    return replace(
        left,
        used=both(left.used, right.used),
        included=both(left.included, right.included),
        quantity=both(left.quantity, right.quantity),
        exact=both(left.exact, right.exact),
        amount=both(left.amount, right.amount),
    )


def _identity(line: DraftLine) -> Identity:
    return (line.kind, line.key, line.start, line.end)


def _settlement_stand(invoice: Invoice, lines: list[DraftLine], at: datetime) -> Settlement | None:
    """The pending settlement, made anew where it says something else. None: nothing differs, and nothing waits."""
    data = [line_data(line) for line in lines]
    waiting = invoice.settlements.filter(state=states.PENDING).first()
    if waiting is not None and waiting.lines == data:
        return waiting
    if waiting is not None:
        invoice.settlements.filter(pk=waiting.pk).update(state=states.DROPPED)
    if not lines:
        return None
    return Settlement.objects.create(
        base=invoice,
        tenant_id=invoice.tenant_id,
        currency=invoice.currency,
        state=states.PENDING,
        known_at=at,
        net=subtotal_of(lines),
        lines=data,
        created_at=at,
    )


def _credit(invoice: Invoice, settlement: Settlement, at: datetime, actor: str) -> CreditNote:
    note = credit_note_issue(
        invoice=invoice,
        amount=-settlement.net,
        reason="Usage of the period, as it is known now",
        lines=settlement.lines,
        at=at,
        actor=actor,
        capped=False,
    )
    _settlement_end(settlement, states.CREDITED, credit_note=note)
    return note


def _invoice_at_once(
    base: Invoice, settlement: Settlement, customer: BilledCustomer, at: datetime, actor: str
) -> Invoice:
    """An invoice of nothing but this settlement's lines, for the period they correct."""
    invoice = Invoice.objects.create(
        id=uuid7(), kind=states.CORRECTION, team_id=base.team_id, tenant_id=base.tenant_id,
        currency=base.currency, period_start=base.period_start, period_end=base.period_end,
        as_of=at, known_at=settlement.known_at, created_at=at,
    )  # fmt: skip
    facts = {
        name: getattr(base, name) for name in ("rate_card_key", "rate_card_version", "cards", "fallback_card")
    }
    composed = Composed(base.currency, correction_lines([settlement]), [settlement], facts)
    issued = invoice_issue(invoice=invoice, customer=customer, composed=composed, at=at, actor=actor)
    settlement.refresh_from_db()
    return issued


def _settlement_end(settlement: Settlement, state: str, *, credit_note: CreditNote) -> None:
    moved = Settlement.objects.filter(pk=settlement.pk, state=states.PENDING).update(
        state=state, credit_note=credit_note
    )
    settlement.refresh_from_db()
    if moved != 1:
        raise Conflict(f"The settlement is {settlement.state}.", code="settlement_state")
