"""Which events a subscriber asked for: channels, and namespaces below a prefix down to a depth."""

from dataclasses import dataclass
from typing import Any, Final

Event = dict[str, Any]
DIRECT: Final = frozenset({"values", "checkpoints", "updates", "messages", "tools", "lifecycle", "tasks"})


@dataclass(frozen=True)
class Filter:
    """`namespaces` None: everywhere. `depth` counts levels below a prefix; None: all of them."""

    channels: frozenset[str]
    namespaces: tuple[tuple[str, ...], ...] | None = None
    depth: int | None = None

    def passes(self, event: Event) -> bool:
        return self._channel_passes(event) and self._namespace_passes(tuple(event["params"]["namespace"]))

    def _channel_passes(self, event: Event) -> bool:
        method = event["method"]
        if method == "input.requested":
            return "input" in self.channels
        if method == "custom":
            name = event["params"]["data"].get("name")
            return "custom" in self.channels or f"custom:{name}" in self.channels
        return method in DIRECT and method in self.channels

    def _namespace_passes(self, namespace: tuple[str, ...]) -> bool:
        if not self.namespaces:
            return True
        return any(
            _below(namespace, prefix) and (self.depth is None or len(namespace) - len(prefix) <= self.depth)
            for prefix in self.namespaces
        )


def _below(namespace: tuple[str, ...], prefix: tuple[str, ...]) -> bool:
    """A prefix without a task id (`child`) stands for each of its tasks (`child:1`, `child:2`)."""
    if len(prefix) > len(namespace):
        return False
    return all(
        have == want or (":" not in want and have.partition(":")[0] == want)
        for have, want in zip(namespace, prefix, strict=False)
    )
