"""Agreements: published cards never change, phases never overlap, and what was known when can be asked for."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import Error, IntegrityError, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing.agreements.models import Agreement, AgreementPhase, RateCardVersion
from billing.agreements.phases import Phase, PhaseTerms, amended, ended
from billing.agreements.publishing import rate_cards_publish
from billing.agreements.selectors import card_versions, phases_of, rate_card_get
from billing.agreements.services import (
    Recorder,
    agreement_amend,
    agreement_end,
    agreement_open,
    agreement_plan_follow,
)
from billing.agreements.terms import agreement_terms_change
from billing.charges.rerate import rerate
from billing.charges.selectors import charges_of
from billing.metering.spans import spans_reconcile
from billing.period import period_parse
from billing.rating.cards import Overrides, RateCard
from billing.rating.rate import rate
from contracts.stack import BillableResource
from contracts.usage import RUN_USAGE
from controlplane.core.errors import Conflict, NotFound, OperatorError, ValidationFailed
from controlplane.core.models import AuditEvent

NOVEMBER = period_parse("2026-11")
START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
DAY = timedelta(days=1)
MIDDLE = datetime(2026, 11, 16, tzinfo=UTC)


def _card(key: str = "starter", version: int = 1, **fields: Any) -> RateCard:
    usual = {"base_fee": "60", "prices": [{"meter": "agent_runs", "unit_price": "1"}]}
    return RateCard.model_validate({"key": key, "version": version, **usual, **fields})


def _by(at: datetime = START) -> Recorder:
    return Recorder("test", at)


@pytest.fixture
def agreed(db: None, tenant: Any) -> Any:
    agreement_open(tenant_id=tenant.id, plan="starter", card=_card(), starts_at=START, by=_by())
    return tenant


def _total(tenant: Any, known_at: datetime | None = None, as_of: datetime = NOW) -> Decimal:
    return charges_of(customer=tenant, period=NOVEMBER, as_of=as_of, known_at=known_at).total


def test_publishing_again_changes_nothing_and_other_content_is_refused(db: None) -> None:
    assert rate_cards_publish(cards=[_card()], actor="test", at=START) == ["starter v1"]
    same = _card(prices=[{"meter": "agent_runs", "unit_price": "1.00", "per": 1}])
    assert rate_cards_publish(cards=[same], actor="test", at=NOW) == []
    with pytest.raises(OperatorError) as caught:
        rate_cards_publish(cards=[_card(base_fee="61"), _card("pro")], actor="test", at=NOW)
    assert "raise rate_card.version of starter to 2" in caught.value.hint
    assert [str(row) for row in RateCardVersion.objects.all()] == ["starter v1"], "all or nothing"
    assert AuditEvent.objects.filter(action="rate_card.published").count() == 1


def test_versions_take_effect_in_their_order(db: None) -> None:
    later = _card(version=2, effective_from=NOW)
    rate_cards_publish(cards=[_card(), later], actor="test", at=START)
    with pytest.raises(OperatorError, match="wrong side"):
        rate_cards_publish(cards=[_card(version=3, effective_from=NOW - DAY)], actor="test", at=START)
    assert rate_card_get(key="starter", at=NOW - DAY).version == 1
    assert rate_card_get(key="starter", at=NOW).version == 2
    assert rate_card_get(key="starter", version=1, at=NOW).version == 1
    with pytest.raises(NotFound):
        rate_card_get(key="starter", version=9, at=NOW)
    assert [each.card.version for each in card_versions(keys=["starter"])["starter"]] == [1, 2]


def test_the_database_keeps_published_cards_as_they_are(db: None) -> None:
    rate_cards_publish(cards=[_card()], actor="test", at=START)
    rows = RateCardVersion.objects.filter(key="starter")
    for change in (lambda: rows.update(currency="EUR"), rows.delete):
        with pytest.raises(Error, match="never changes"), transaction.atomic():
            change()
    assert rows.get().currency == "USD"


def test_the_database_refuses_phases_that_overlap(agreed: Any) -> None:
    agreement = Agreement.objects.get(tenant_id=agreed.id)
    row: dict[str, Any] = {"agreement": agreement, "plan": "p", "card_key": "k", "recorded_by": "test"}
    with pytest.raises(IntegrityError, match="agreement_phase_no_overlap"), transaction.atomic():
        AgreementPhase.objects.create(
            span=DateTimeTZRange(NOW, None), known=DateTimeTZRange(NOW, None), **row
        )
    # What was known at other times may say otherwise.
    AgreementPhase.objects.create(
        span=DateTimeTZRange(NOW, None), known=DateTimeTZRange(START - DAY, START), **row
    )


def test_an_agreement_is_opened_once(agreed: Any) -> None:
    agreement_open(tenant_id=agreed.id, plan="pro", card=_card("pro"), starts_at=NOW, by=_by(NOW))
    (phase,) = phases_of(tenant_id=agreed.id)
    assert (phase.start, phase.end, phase.terms) == (START, None, PhaseTerms("starter", "starter"))


def test_a_plan_change_begins_a_phase_and_keeps_the_contract(agreed: Any) -> None:
    loyal = Overrides.model_validate({"discounts": [{"key": "loyal", "percent": "10"}]})
    agreement_amend(
        tenant_id=agreed.id,
        change=lambda terms: replace(terms, overrides=loyal),
        about={},
        start=START,
        by=_by(START + DAY),
    )
    pro = _card("pro", base_fee="600")
    following: dict[str, Any] = {"tenant_id": agreed.id, "plan": "pro", "card": pro, "start": MIDDLE}
    assert agreement_plan_follow(**following, by=_by(MIDDLE))
    assert not agreement_plan_follow(**following, by=_by(MIDDLE)), "the same plan again changes nothing"
    first, second = phases_of(tenant_id=agreed.id)
    assert (first.end, second.start, second.terms) == (MIDDLE, MIDDLE, PhaseTerms("pro", "pro", None, loyal))
    rated = charges_of(customer=agreed, period=NOVEMBER, as_of=NOW)
    assert [(s.card_key, s.start, s.end) for s in rated.segments] == [
        ("starter", NOVEMBER.start, MIDDLE),
        ("pro", MIDDLE, NOVEMBER.end),
    ]
    assert rated.total == Decimal("297.00"), "half of 60 and half of 600, less a tenth"


def test_a_negotiated_card_outlives_updates_on_the_same_plan(agreed: Any) -> None:
    rate_cards_publish(cards=[_card("acme-2026", base_fee="10")], actor="test", at=START)
    agreement_terms_change(
        tenant_id=agreed.id, changes={"rate_card": "acme-2026"}, start=NOVEMBER.start, by=_by(NOW)
    )
    assert not agreement_plan_follow(
        tenant_id=agreed.id, plan="starter", card=_card(), start=NOW, by=_by(NOW)
    )
    assert _total(agreed) == Decimal("10.00")


def test_a_plan_in_another_currency_leaves_the_card(agreed: Any) -> None:
    euro = _card("pro", currency="EUR")
    agreement_plan_follow(tenant_id=agreed.id, plan="pro", card=euro, start=MIDDLE, by=_by(MIDDLE))
    assert phases_of(tenant_id=agreed.id)[-1].terms == PhaseTerms("pro", "starter")


def test_what_was_known_then_can_be_recomputed(
    agreed: Any, ingest: Callable[..., Any], event: Callable[..., Any]
) -> None:
    before = _total(agreed, known_at=NOW)
    agreement_terms_change(
        tenant_id=agreed.id,
        changes={"discounts": [{"key": "late", "percent": "50"}]},
        start=NOVEMBER.start,
        by=_by(NOW + DAY),
    )
    rate_cards_publish(
        cards=[_card(version=2, base_fee="6000", effective_from=NOVEMBER.start)],
        actor="test",
        at=NOW + 2 * DAY,
    )
    assert (before, _total(agreed, known_at=NOW)) == (Decimal("60.00"), Decimal("60.00"))
    assert _total(agreed, known_at=NOW + DAY) == Decimal("30.00")
    assert _total(agreed) == _total(agreed, known_at=NOW + 2 * DAY) == Decimal("3000.00")


def test_usage_that_came_later_was_not_known_then(
    agreed: Any, ingest: Callable[..., Any], event: Callable[..., Any]
) -> None:
    ingest(event("1", MIDDLE, RUN_USAGE), received_at=NOW)
    ingest(event("2", MIDDLE, RUN_USAGE), event("3", MIDDLE, RUN_USAGE), received_at=NOW + DAY)
    assert _total(agreed, known_at=NOW) == Decimal("61.00")
    assert _total(agreed) == _total(agreed, known_at=NOW + DAY) == Decimal("63.00")
    diff = rerate(customer=agreed, period=NOVEMBER, as_of=NOW, known_at=NOW, with_card=_card(base_fee="0"))
    assert (diff["total_before"], diff["total_after"]) == ("61.00", "1.00")


def test_a_preview_asks_the_database_little(
    agreed: Any, django_assert_max_num_queries: Any, card: RateCard
) -> None:
    """One measurement of each priced meter, however often the terms changed in the month."""
    for day in range(1, 12):
        agreement_terms_change(
            tenant_id=agreed.id,
            changes={"base_fee": str(day)},
            start=NOVEMBER.start + day * DAY,
            by=_by(NOW),
        )
    with django_assert_max_num_queries(6):
        assert len(charges_of(customer=agreed, period=NOVEMBER, as_of=NOW).segments) == 12


def test_a_pinned_version_outlives_a_new_one(agreed: Any) -> None:
    agreement_terms_change(
        tenant_id=agreed.id, changes={"rate_card_version": 1}, start=NOVEMBER.start, by=_by(START + DAY)
    )
    dear = _card(version=2, base_fee="6000", effective_from=NOVEMBER.start)
    rate_cards_publish(cards=[dear], actor="test", at=NOW)
    assert _total(agreed) == Decimal("60.00")


def test_changing_nothing_leaves_no_trace(agreed: Any) -> None:
    wanted: dict[str, Any] = {"tenant_id": agreed.id, "start": MIDDLE, "by": _by(NOW)}
    changes = {"base_fee": "30", "trial_until": None}
    assert agreement_terms_change(changes=changes, **wanted)
    audited = AuditEvent.objects.count()
    assert not agreement_terms_change(changes=changes, **wanted)
    assert AuditEvent.objects.count() == audited
    assert _total(agreed) == Decimal("45.00")


def test_a_change_for_a_while_ends_by_itself(agreed: Any) -> None:
    agreement_terms_change(
        tenant_id=agreed.id,
        changes={"base_fee": "0"},
        start=NOVEMBER.start,
        end=MIDDLE,
        by=_by(NOW),
    )
    spans = [(phase.start, phase.end) for phase in phases_of(tenant_id=agreed.id)]
    assert spans == [(START, NOVEMBER.start), (NOVEMBER.start, MIDDLE), (MIDDLE, None)]
    assert _total(agreed) == Decimal("30.00")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"rate_card": "nope"}, "/rate_card"),
        ({"rate_card_version": 7}, "/rate_card_version"),
        ({"base_fee": "-1"}, "/base_fee"),
        ({"discounts": [{"key": "a", "percent": 5.5}]}, "/discounts/0/percent"),
        ({"prices": [{"meter": "nope", "unit_price": "1"}]}, "/prices/0"),
        ({}, None),
    ],
)
def test_wrong_terms_name_the_field(agreed: Any, changes: dict[str, Any], pointer: str | None) -> None:
    with pytest.raises(ValidationFailed) as caught:
        agreement_terms_change(tenant_id=agreed.id, changes=changes, start=NOW, by=_by(NOW))
    assert [problem["pointer"] for problem in caught.value.errors] == ([pointer] if pointer else [])
    assert len(phases_of(tenant_id=agreed.id)) == 1


def test_conflicts_are_told(agreed: Any) -> None:
    rate_cards_publish(cards=[_card("euro", currency="EUR")], actor="test", at=START)
    wanted: dict[str, Any] = {"tenant_id": agreed.id, "by": _by(NOW)}
    for code, keywords in (
        ("currency_differs", {"changes": {"rate_card": "euro"}, "start": NOW}),
        ("period_finalized", {"changes": {"base_fee": "1"}, "start": NOW, "closed_until": NOW + DAY}),
    ):
        with pytest.raises(Conflict) as caught:
            agreement_terms_change(**wanted, **keywords)  # type: ignore[arg-type]
        assert caught.value.code == code
    assert agreement_end(tenant_id=agreed.id, at=NOW, by=_by(NOW))
    assert not agreement_end(tenant_id=agreed.id, at=NOW, by=_by(NOW))
    with pytest.raises(Conflict) as caught:
        agreement_terms_change(**wanted, changes={"base_fee": "1"}, start=NOW + DAY)
    assert caught.value.code == "agreement_ended"


def test_fees_end_with_the_agreement(agreed: Any) -> None:
    agreement_end(tenant_id=agreed.id, at=MIDDLE, by=_by(MIDDLE))
    assert _total(agreed) == Decimal("30.00")
    december = period_parse("2026-12")
    assert charges_of(customer=agreed, period=december, as_of=december.end).total == 0


def test_without_an_agreement_the_plans_card_applies(db: None, tenant: Any, card: RateCard) -> None:
    rated = charges_of(customer=tenant, period=NOVEMBER, as_of=NOW, fallback=card)
    assert rated == replace(rate(card, [], NOVEMBER, NOW), segments=rated.segments)
    with pytest.raises(OperatorError):
        charges_of(customer=tenant, period=NOVEMBER, as_of=NOW)


def test_usage_is_charged_by_the_terms_of_its_time(
    agreed: Any, ingest: Callable[..., Any], event: Callable[..., Any]
) -> None:
    ragged = MIDDLE + timedelta(minutes=7, seconds=31)
    agreement_terms_change(
        tenant_id=agreed.id,
        changes={"prices": [{"meter": "agent_runs", "unit_price": "10"}]},
        start=ragged,
        by=_by(NOW),
    )
    times = [ragged - timedelta(seconds=1), ragged, ragged + DAY]
    ingest(*(event(str(number), time, RUN_USAGE) for number, time in enumerate(times)))
    rated = charges_of(customer=agreed, period=NOVEMBER, as_of=NOW)
    assert [line.amount for line in rated.lines if line.meter == "agent_runs"] == [Decimal(1), Decimal(20)]
    assert [line.card_version for line in rated.lines] == [1, 1, 1, 1]
    assert [int(card.prices[0].unit_price) for card in rated.cards] == [1, 10]


def test_rerating_is_a_dry_run_with_the_difference_by_line(
    agreed: Any, ingest: Callable[..., Any], event: Callable[..., Any]
) -> None:
    ingest(*(event(str(number), MIDDLE, RUN_USAGE) for number in range(4)))
    dear = _card("dear", base_fee="100", commitments=[{"key": "spend", "minimum": "120"}])
    asked: dict[str, Any] = {"customer": agreed, "period": NOVEMBER, "as_of": NOW}
    diff = rerate(**asked, with_card=dear)
    assert diff == rerate(**asked, with_card=dear), "again the same"
    assert (diff["total_before"], diff["total_after"], diff["difference"]) == ("64.00", "120.00", "56.00")
    assert [(line["key"], line["before"], line["after"], line["difference"]) for line in diff["lines"]] == [
        ("base_fee", "60.00", "100.00", "40.00"),
        ("agent_runs", "4.00", "4.00", "0.00"),
        ("minimum spend", None, "16.00", "16.00"),
    ]
    same = rerate(**asked, with_card=_card())
    assert {line["difference"] for line in same["lines"]} == {"0.00"}
    free = Overrides.model_validate({"base_fee": "0"})
    assert rerate(**asked, with_override=free)["total_after"] == "4.00"
    assert _total(agreed) == Decimal("64.00"), "nothing has changed"
    with pytest.raises(ValidationFailed):
        rerate(**asked, with_card=_card(currency="EUR"))


def test_a_price_may_match_what_only_the_stack_says_of_a_resource(agreed: Any) -> None:
    gpus = [
        BillableResource(
            meter="gpu_hours", slot=slot, resource=f"gpu-{slot}", dimensions={"generation": name}
        )
        for slot, name in enumerate(("old", "new"))
    ]
    spans_reconcile(tenant_id=agreed.id, resources=gpus, at=NOW - DAY, operation_id=uuid4())
    changes = {
        "prices": [
            {"meter": "gpu_hours", "unit_price": "3", "match": {"generation": "new"}},
            {"meter": "gpu_hours", "unit_price": "1"},
        ]
    }
    agreement_terms_change(tenant_id=agreed.id, changes=changes, start=START, by=_by(NOW))
    rated = charges_of(customer=agreed, period=NOVEMBER, as_of=NOW)
    assert [line.amount for line in rated.lines if line.meter == "gpu_hours"] == [Decimal(72), Decimal(24)]


def test_a_trial_of_the_card_runs_from_the_beginning(db: None, tenant: Any) -> None:
    card = _card("try", trial_days=20)
    begins = datetime(2026, 11, 1, tzinfo=UTC)
    agreement_open(tenant_id=tenant.id, plan="try", card=card, starts_at=begins, by=_by(begins))
    rated = charges_of(customer=tenant, period=NOVEMBER, as_of=NOW)
    assert [(line.kind, line.amount) for line in rated.lines] == [
        ("base_fee", Decimal(40)),
        ("trial", Decimal(-40)),
        ("base_fee", Decimal(20)),
    ]


def test_amending_cuts_and_joins_phases() -> None:
    terms = PhaseTerms("p", "a")
    phases = [Phase(START, None, terms)]
    cut = amended(phases, lambda each: replace(each, card_key="b"), start=NOW, end=NOW + DAY)
    assert [(phase.start, phase.end, phase.terms.card_key) for phase in cut] == [
        (START, NOW, "a"),
        (NOW, NOW + DAY, "b"),
        (NOW + DAY, None, "a"),
    ]
    assert amended(cut, lambda each: replace(each, card_key="a"), start=START) == phases
    assert amended(phases, lambda each: each, start=NOW) == phases
    assert ended(cut, at=NOW + DAY) == cut[:2]
    assert ended(phases, at=START - DAY) == []


def test_an_unknown_tenant_has_nothing_to_change(db: None) -> None:
    with pytest.raises(NotFound):
        agreement_terms_change(tenant_id=uuid4(), changes={"base_fee": "1"}, start=NOW, by=_by(NOW))
