"""How many of the planned changes an apply has made, from the engine's events."""

from collections.abc import Mapping
from typing import Any


class MadeChanges:
    """Counts as the plan's summary does, so that the last change completes it."""

    def __init__(self) -> None:
        self._urns: set[str] = set()

    def __len__(self) -> int:
        return len(self._urns)

    def add(self, event: Mapping[str, Any]) -> bool:
        """Whether this event (of kind resource) is a change that was not counted yet."""
        # The plan's steps end as well, and change nothing.
        if event.get("phase") == "preview" or event["state"] != "done" or event["op"] in ("same", "read"):
            return False
        # The engine makes default providers by itself and leaves them out of its summary.
        if str(event["type"]).startswith("pulumi:providers:") and str(event["name"]).startswith("default"):
            return False
        known = len(self._urns)
        # A replacement ends twice, once for each of its halves.
        self._urns.add(str(event["urn"]))
        return len(self._urns) > known
