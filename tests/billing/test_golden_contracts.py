"""Worked contracts, their arithmetic written out by hand in golden/*.toml, against the code, to the cent."""

import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.agreements.phases import CardVersion, Phase, PhaseTerms
from billing.charges.cuts import cuts_of, windows_of_cuts
from billing.exact import decimal_text, money_text
from billing.metering.totals import MeterTotal
from billing.period import period_parse
from billing.rating.cards import Overrides, RateCard
from billing.rating.rate import RatedLine, RatedLines, Stretch, rate_stretches

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.toml"))
EVER = datetime(1970, 1, 1, tzinfo=UTC)


def _rated(contract: dict[str, Any]) -> RatedLines:
    period = period_parse(contract["period"])
    cards = [RateCard.model_validate(card) for card in contract["cards"]]
    phases = [
        Phase(
            raw["from"],
            raw.get("to"),
            PhaseTerms(
                "any",
                raw["rate_card"],
                overrides=Overrides.model_validate(raw.get("overrides", {})),
                trial_until=raw.get("trial_until"),
            ),
        )
        for raw in contract["phases"]
    ]

    def versions(key: str) -> list[CardVersion]:
        return [CardVersion(card, card.effective_from or EVER) for card in cards if card.key == key]

    cuts = cuts_of(phases, versions, period)
    stretches = [
        Stretch(
            cut.start,
            cut.end,
            cut.card,
            tuple(
                MeterTotal(
                    raw["meter"], tuple(sorted(raw.get("dimensions", {}).items())), Decimal(raw["value"])
                )
                for raw in contract["usage"]
                if start <= raw["at"] < end
            ),
            cut.trial,
            cut.opens,
        )
        for cut, (start, end) in zip(cuts, windows_of_cuts(cuts, period), strict=True)
    ]
    return rate_stretches(stretches, period, period.end)


def _shown(line: RatedLine, currency: str) -> dict[str, Any]:
    return {
        "key": line.key,
        "kind": line.kind,
        "unit": line.unit,
        "card": f"{line.card_key} v{line.card_version}",
        "from": line.start,
        "to": line.end,
        "included": decimal_text(line.included),
        "quantity": decimal_text(line.quantity),
        "unit_price": decimal_text(line.unit_price),
        "parts": [decimal_text(part.exact) for part in line.parts],
        "amount": money_text(line.amount, currency),
    }


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_worked_contract_comes_out_to_the_cent(path: Path) -> None:
    contract = tomllib.loads(path.read_text(encoding="utf-8"))
    rated = _rated(contract)
    shown = [_shown(line, rated.currency) for line in rated.lines]
    assert [line["key"] for line in shown] == [line["key"] for line in contract["lines"]]
    for line, expected in zip(shown, contract["lines"], strict=True):
        assert {name: line[name] for name in expected} == expected
    assert money_text(rated.total, rated.currency) == contract["invoice"]["total"]


def test_the_golden_contracts_cover_what_they_are_for() -> None:
    texts = [path.read_text(encoding="utf-8") for path in GOLDEN]
    assert len(texts) >= 8
    for needed in (
        '"USD"', '"EUR"', '"JPY"', "graduated", "volume", "package", "trial_until", "minimum", "maximum",
        "percent", "effective_from", "2028-02", "overrides", "one_off",
    ):  # fmt: skip
        assert any(needed in text for text in texts), needed
