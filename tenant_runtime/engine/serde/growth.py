"""Keeps a long thread small: lists that only grow are stored as what each step added, not as a whole at each step.

LangGraph's DeltaChannel (beta) writes a snapshot every so many updates and the additions in between. It is used where
this very behaviour was tried: another minor version of LangGraph stores whole lists again, and still reads what lies
there.
"""

import operator
import uuid
from collections.abc import Sequence
from functools import reduce
from importlib.metadata import version
from typing import Any, Final

from langchain_core.messages import BaseMessage, convert_to_messages
from langgraph.channels.binop import BinaryOperatorAggregate
from langgraph.channels.delta import DeltaChannel
from langgraph.graph.message import add_messages
from langgraph.pregel import Pregel

#: Minor versions whose delta channels were tried with the sealed saver and with prune.
TRIED: Final = {"langgraph": ("1.2",), "langgraph-checkpoint-postgres": ("3.2",)}
SNAPSHOT_EVERY: Final = 100
_NAMESPACE: Final = uuid.UUID("0d0c3a5b-7f4e-4a63-8a39-5f7f0b9c2d11")


def delta_usable() -> bool:
    return all(version(name).rpartition(".")[0] in tried for name, tried in TRIED.items())


def messages_added(state: list[Any], writes: Sequence[Any]) -> list[Any]:
    """`add_messages` over several writes. A message without an id gets one that follows from its place, since the
    writes are read again at each load."""
    for write in writes:
        given = write if isinstance(write, list) else [write]
        if not all(isinstance(item, BaseMessage) and item.id for item in given):
            given = convert_to_messages(given)
            for position, message in enumerate(given):
                if message.id is None:
                    place = f"{len(state)}:{position}:{message.type}:{message.content}"
                    message.id = str(uuid.uuid5(_NAMESPACE, place))
        state = add_messages(state, given)  # type: ignore[assignment]
    return state


def items_added(state: list[Any], writes: Sequence[Any]) -> list[Any]:
    return reduce(operator.add, writes, state)


def deltas_use(graph: Pregel[Any, Any, Any, Any]) -> None:
    """Replaces the graph's list channels that add messages or items; others stay whole."""
    channels = dict(graph.channels)
    for name, channel in graph.channels.items():
        if not isinstance(channel, BinaryOperatorAggregate) or not isinstance(channel.value, list):
            continue
        adding = {add_messages: messages_added, operator.add: items_added}.get(channel.operator)
        if adding is not None:
            delta: Any = DeltaChannel(adding, list, snapshot_frequency=SNAPSHOT_EVERY)
            delta.key = channel.key
            channels[name] = delta
    graph.channels = channels
