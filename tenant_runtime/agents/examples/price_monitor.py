"""Watches a price on a web page and tells when it has moved by more than a threshold.

Input `{"url", "product", "threshold_percent"}`. One run looks once: a cron on the thread makes it look for ever. With
`every_s` the run itself sleeps between two looks, without a worker, until it is canceled or has looked `most_looks`
times. The thread's state remembers the last price told, so that a slow drift is told as well.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from tenant_runtime.agents.context import current
from tenant_runtime.errors import AgentFault, ToolFailed
from tenant_runtime.models.offline.words import terms

_CURRENCY: Final = r"(?:€|\$|£|EUR|USD|GBP|CHF)"
_NUMBER: Final = r"\d{1,3}(?:[ .,'\u00a0\u202f]\d{3})+(?:[.,]\d{1,2})?|\d+(?:[.,]\d{1,2})?"
_PRICE: Final = re.compile(
    rf"(?P<before>{_CURRENCY})\s?(?P<first>{_NUMBER})(?!\d)|(?<![\d.,])(?P<second>{_NUMBER})\s?(?P<after>{_CURRENCY})"
)
_NAMES: Final = {"€": "EUR", "$": "USD", "£": "GBP"}
#: How many lines after the product's name its price may stand.
_NEAR: Final = 4


class State(TypedDict, total=False):
    """`price` is the last one seen, `told_price` the one that later ones are compared with; both decimal texts."""

    messages: Annotated[list[AnyMessage], add_messages]
    url: str
    product: str
    threshold_percent: float
    every_s: float
    most_looks: int
    looks: int
    price: str
    told_price: str
    currency: str
    moved: bool
    problem: str


def number_read(text: str) -> Decimal:
    """A number as people write it: the last mark before one or two digits is the decimal one, all others group."""
    found = re.fullmatch(r"(.*?)(?:[.,](\d{1,2}))?", text)
    assert found is not None
    whole = re.sub(r"\D", "", found[1])
    return Decimal(f"{whole}.{found[2] or '00'}")


def price_find(text: str, product: str) -> tuple[Decimal, str] | None:
    """The first amount with a currency in the line that has most of the product's words, or in those after it."""
    wanted = set(terms(product))
    lines = text.splitlines()
    scored = [(len(wanted & set(terms(line))), -number) for number, line in enumerate(lines)]
    shared, position = max(scored, default=(0, 0))
    if wanted and not shared:
        return None
    for line in lines[-position : -position + _NEAR + 1]:
        if found := _PRICE.search(line):
            sign = found["before"] or found["after"]
            return number_read(found["first"] or found["second"]), _NAMES.get(sign, sign)
    return None


def moved_by(before: Decimal, now: Decimal) -> Decimal:
    """In percent of the price before."""
    if before == 0:
        return Decimal(0) if now == 0 else Decimal(100)
    return (now - before) / before * 100


def _threshold(state: State) -> Decimal:
    try:
        threshold = Decimal(str(state.get("threshold_percent", 5)))
    except InvalidOperation:
        threshold = Decimal(-1)
    if not threshold.is_finite() or threshold < 0:
        raise AgentFault("`threshold_percent` wants a number from 0 on", code="monitor_misfit")
    return threshold


async def look(state: State) -> State:
    """A page that cannot be read, or has no price, is a `problem` and no end: the next look may find it."""
    if not isinstance(state.get("url"), str) or not isinstance(state.get("product"), str):
        raise AgentFault("`url` and `product` want texts", code="monitor_misfit")
    threshold = _threshold(state)
    seen: State = {"looks": state.get("looks", 0) + 1, "moved": False, "problem": ""}
    try:
        page = await current().tool("read_page", {"url": state["url"]})
    except ToolFailed as failed:
        return {**seen, "problem": failed.code}
    found = price_find(str(page["text"]), state["product"])
    if found is None:
        return {**seen, "problem": "price_missing"}
    price, currency = found
    seen |= {"price": str(price), "currency": currency}
    before = state.get("told_price")
    if before is None or state.get("currency") != currency:
        return {**seen, "told_price": str(price)}
    change = moved_by(Decimal(before), price)
    if abs(change) <= threshold:
        return seen
    text = f"{state['product']}: {before} {currency} before, {price} {currency} now ({change:+.1f} %)."
    return {**seen, "moved": True, "told_price": str(price), "messages": [AIMessage(content=text)]}


def after_look(state: State) -> str:
    most = state.get("most_looks")
    return "rest" if state.get("every_s") and (most is None or state["looks"] < most) else END


async def rest(state: State) -> dict[str, Any]:
    await current().sleep(max(1.0, float(state["every_s"])))
    return {"problem": state.get("problem", "")}


graph = StateGraph(State)
graph.add_node("look", look)
graph.add_node("rest", rest)
graph.add_edge(START, "look")
graph.add_conditional_edges("look", after_look, ["rest", END])
graph.add_edge("rest", "look")
