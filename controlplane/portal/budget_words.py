"""How a budget reads: its bar, and in sentences what saving it would do. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django.utils.translation import gettext, gettext_noop, ngettext

from billing.budgets.effect import ThresholdEffect
from billing.budgets.preview import BudgetPreview
from billing.budgets.thresholds import ACTUAL, ALERT
from billing.exact import decimal_text
from billing.standing.states import BLOCK_RUNS, SCALE_GPU_TO_ZERO
from controlplane.portal.figures import day_month_text, money_text, numeral

ACTION_TITLES: Final = {
    ALERT: gettext_noop("tell people"),
    BLOCK_RUNS: gettext_noop("refuse new runs"),
    SCALE_GPU_TO_ZERO: gettext_noop("suspend, release GPUs"),
    "resume_afterwards": gettext_noop("resume afterwards"),
}
MEASURE_TITLES: Final = {ACTUAL: gettext_noop("spent"), "forecast": gettext_noop("forecast")}
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
    label = gettext("%(spent)s %% spent, %(forecast)s %% forecast") % {
        "spent": numeral(f"{spent:f}"),
        "forecast": numeral(f"{forecast:f}"),
    }
    return Bar(
        width=BAR,
        spent=length(spent),
        forecast=length(forecast),
        tone=tones.get(status["state"], "ok"),
        marks=tuple(
            Mark(
                x=length(percent),
                reached=each["reached"],
                label=f"{numeral(each['percent'])} % {gettext(MEASURE_TITLES[each['on']])}: "
                + ", ".join(gettext(ACTION_TITLES[action]) for action in each["actions"]),
            )
            for each, percent in zip(status["thresholds"], percents, strict=True)
        ),
        label=label if status["spent"] is not None else gettext("not evaluated yet"),
    )


def effect_sentences(preview: BudgetPreview, *, fleet: bool, told: bool) -> list[Sentence]:
    """What people ask before they save: who is told, whether and when agents stop, what is lifted. `told`: the budget
    names somebody."""
    currency = preview.figures["currency"]
    sentences = []
    for action, does in (
        (BLOCK_RUNS, _blocks(preview, fleet)),
        (SCALE_GPU_TO_ZERO, _suspends(preview, fleet)),
        (
            ALERT,
            gettext("Whom the budget names is told.")
            if told
            else gettext("Nobody is named: it shows here alone."),
        ),
    ):
        if any(action in each.threshold.actions for each in preview.effect.thresholds):
            sentences.append(_sentence(action, preview.effect.first(action), does, currency))
    if not any(set(each.threshold.actions) - {ALERT} for each in preview.effect.thresholds):
        sentences.append(
            Sentence("idle", "info", gettext("No threshold stops anything: agents go on whatever they cost."))
        )
    gone = preview.held - preview.effect.actions
    if BLOCK_RUNS in gone and SCALE_GPU_TO_ZERO in gone:
        text = gettext("New runs and GPUs are allowed again: what this budget holds now is lifted.")
        sentences.append(Sentence("ok", "circle-check", text))
    elif BLOCK_RUNS in gone:
        text = gettext("New runs are allowed again: what this budget holds now is lifted.")
        sentences.append(Sentence("ok", "circle-check", text))
    elif SCALE_GPU_TO_ZERO in gone:
        text = gettext("GPUs are allowed again: what this budget holds now is lifted.")
        sentences.append(Sentence("ok", "circle-check", text))
    return sentences


def _sentence(action: str, effect: ThresholdEffect | None, does: str, currency: str) -> Sentence:
    subject = {
        BLOCK_RUNS: gettext("the block"),
        SCALE_GPU_TO_ZERO: gettext("the suspension"),
        ALERT: gettext("the first alert"),
    }[action]
    first = subject[:1].upper() + subject[1:]
    grave = "info" if action == ALERT else "triangle-alert"
    if effect is None:
        text = gettext("%(subject)s would not begin this month at today's rate.") % {"subject": first}
        return Sentence("ok", "circle-check", text)
    why = gettext("%(percent)s %% %(measure)s is %(limit)s") % {
        "percent": numeral(decimal_text(effect.threshold.percent)),
        "measure": gettext(MEASURE_TITLES[effect.threshold.on]),
        "limit": money_text(effect.limit, currency),
    }
    if effect.at is not None:
        moment = f"{day_month_text(effect.at)}, {effect.at:%H:%M} UTC"
        text = gettext("At today's rate %(subject)s would begin on %(moment)s: %(why)s. %(does)s") % {
            "subject": subject,
            "moment": moment,
            "why": why,
            "does": does,
        }
        return Sentence("idle" if action == ALERT else "warn", grave, text)
    told = {"subject": first, "why": why, "does": does}
    if effect.state == "stands":
        text = gettext("%(subject)s holds already and stays: %(why)s, and that is reached. %(does)s") % told
    else:
        text = gettext("%(subject)s begins at once: %(why)s, and that is reached. %(does)s") % told
    return Sentence("idle" if action == ALERT else "bad", grave, text)


def _blocks(preview: BudgetPreview, fleet: bool) -> str:
    if fleet:
        text = ngettext(
            "All %(number)d tenant of the team refuse new runs; open runs finish.",
            "All %(number)d tenants of the team refuse new runs; open runs finish.",
            preview.tenants,
        )
        return text % {"number": preview.tenants}
    if not preview.agents:
        return gettext("No agent has run this month; new runs are refused, open runs finish.")
    text = ngettext(
        "%(number)d agent that ran this month refuses new runs; open runs finish.",
        "%(number)d agents that ran this month refuse new runs; open runs finish.",
        preview.agents,
    )
    return text % {"number": preview.agents}


def _suspends(preview: BudgetPreview, fleet: bool) -> str:
    if not fleet:
        return gettext("The tenant is suspended and GPUs are released; data stays.")
    text = ngettext(
        "%(number)d tenant of the team is suspended and GPUs are released; data stays.",
        "%(number)d tenants of the team are suspended and GPUs are released; data stays.",
        preview.tenants,
    )
    return text % {"number": preview.tenants}
