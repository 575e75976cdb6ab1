"""How a budget reads: its bar, and in sentences what saving it would do. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from billing.budgets.effect import ThresholdEffect
from billing.budgets.preview import BudgetPreview
from billing.budgets.thresholds import ACTUAL, ALERT
from billing.exact import decimal_text
from billing.standing.states import BLOCK_RUNS, SCALE_GPU_TO_ZERO
from controlplane.portal.figures import money_text

ACTION_TITLES: Final = {
    ALERT: "tell people",
    BLOCK_RUNS: "refuse new runs",
    SCALE_GPU_TO_ZERO: "suspend, release GPUs",
    "resume_afterwards": "resume afterwards",
}
MEASURE_TITLES: Final = {ACTUAL: "spent", "forecast": "forecast"}
#: Of a bar, in its own units.
BAR: Final = 1000
#: A bar shows no more than this many percent: what is beyond is said in figures.
_MOST: Final = Decimal(200)


@dataclass(frozen=True)
class Mark:
    """A threshold on the bar."""

    x: int
    reached: bool
    label: str


@dataclass(frozen=True)
class Bar:
    """`spent` and `forecast` are lengths of `width`."""

    width: int
    spent: int
    forecast: int
    tone: str
    marks: tuple[Mark, ...]
    label: str


@dataclass(frozen=True)
class Sentence:
    tone: str
    icon: str
    text: str


def budget_bar(status: Mapping[str, Any]) -> Bar:
    """`status` as billing.budgets.selectors.budget_status has it."""
    spent, forecast = (Decimal(status[name] or 0) for name in ("spent_percent", "forecast_percent"))
    percents = [Decimal(each["percent"]) for each in status["thresholds"]]
    top = max(Decimal(100), min(_MOST, max([spent, forecast, *percents])))

    def length(percent: Decimal) -> int:
        return int(min(percent, top) / top * BAR)

    tones = {"exceeded": "bad", "reached": "warn"}
    label = f"{spent:f} % spent, {forecast:f} % forecast"
    return Bar(
        width=BAR,
        spent=length(spent),
        forecast=length(forecast),
        tone=tones.get(status["state"], "ok"),
        marks=tuple(
            Mark(
                x=length(percent),
                reached=each["reached"],
                label=f"{each['percent']} % {MEASURE_TITLES[each['on']]}: "
                + ", ".join(ACTION_TITLES[action] for action in each["actions"]),
            )
            for each, percent in zip(status["thresholds"], percents, strict=True)
        ),
        label=label if status["spent"] is not None else "not evaluated yet",
    )


def effect_sentences(preview: BudgetPreview, *, fleet: bool, told: bool) -> list[Sentence]:
    """What people ask before they save: who is told, whether and when agents stop, what is lifted. `told`: the budget
    names somebody."""
    currency = preview.figures["currency"]
    sentences = []
    for action, does in (
        (BLOCK_RUNS, _blocks(preview, fleet)),
        (SCALE_GPU_TO_ZERO, _suspends(preview, fleet)),
        (ALERT, "Whom the budget names is told." if told else "Nobody is named: it shows here alone."),
    ):
        if any(action in each.threshold.actions for each in preview.effect.thresholds):
            sentences.append(_sentence(action, preview.effect.first(action), does, currency))
    if not any(set(each.threshold.actions) - {ALERT} for each in preview.effect.thresholds):
        sentences.append(
            Sentence("idle", "info", "No threshold stops anything: agents go on whatever they cost.")
        )
    lifted = {BLOCK_RUNS: "New runs are", SCALE_GPU_TO_ZERO: "GPUs are"}
    gone = [text for action, text in lifted.items() if action in preview.held - preview.effect.actions]
    if gone:
        text = f"{' '.join(gone)} allowed again: what this budget holds now is lifted."
        sentences.append(Sentence("ok", "circle-check", text))
    return sentences


def _sentence(action: str, effect: ThresholdEffect | None, does: str, currency: str) -> Sentence:
    subject = {BLOCK_RUNS: "the block", SCALE_GPU_TO_ZERO: "the suspension", ALERT: "the first alert"}[action]
    grave = "info" if action == ALERT else "triangle-alert"
    if effect is None:
        text = f"{subject.capitalize()} would not begin this month at today's rate."
        return Sentence("ok", "circle-check", text)
    why = f"{decimal_text(effect.threshold.percent)} % {MEASURE_TITLES[effect.threshold.on]} is "
    why += money_text(effect.limit, currency)
    if effect.at is not None:
        moment = f"{effect.at.day} {effect.at:%b}, {effect.at:%H:%M} UTC"
        text = f"At today's rate {subject} would begin on {moment}: {why}. {does}"
        return Sentence("idle" if action == ALERT else "warn", grave, text)
    begun = "holds already and stays" if effect.state == "stands" else "begins at once"
    text = f"{subject.capitalize()} {begun}: {why}, and that is reached. {does}"
    return Sentence("idle" if action == ALERT else "bad", grave, text)


def _blocks(preview: BudgetPreview, fleet: bool) -> str:
    if fleet:
        return f"All {_count(preview.tenants, 'tenant')} of the team refuse new runs; open runs finish."
    if not preview.agents:
        return "No agent has run this month; new runs are refused, open runs finish."
    verb = "refuses" if preview.agents == 1 else "refuse"
    return f"{_count(preview.agents, 'agent')} that ran this month {verb} new runs; open runs finish."


def _suspends(preview: BudgetPreview, fleet: bool) -> str:
    whose = f"{_count(preview.tenants, 'tenant')} of the team" if fleet else "The tenant"
    verb = "are" if fleet and preview.tenants != 1 else "is"
    return f"{whose} {verb} suspended and GPUs are released; data stays."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
