"""What is asked of one meter, and how what is found of it adds up to the answer. Pure."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Final
from uuid import UUID

from billing.exact import WIDE, quantity
from billing.metering.catalogue import Meter
from billing.metering.facts import dimensions_json
from billing.metering.windows import Window

#: {(window index, dimensions as canonical JSON): value}
Measured = dict[tuple[int, str], Decimal]
#: The same for several tenants, the tenant first.
MeasuredByTenant = dict[tuple[UUID, int, str], Decimal]

ALL: Final = None


@dataclass(frozen=True)
class Ask:
    """`windows` follow each other without a gap. `group_by` names the dimensions to tell apart: all of the meter's if
    None, nothing if empty. What does not add up (a maximum, a number of users) is never told apart by more than is
    asked for: None means nothing then."""

    meter: Meter
    windows: Sequence[Window]
    group_by: tuple[str, ...] | None = ALL


@dataclass
class Tally:
    """The answer to one ask while it is being found."""

    meter: Meter
    windows: tuple[Window, ...]
    names: tuple[str, ...]
    _values: MeasuredByTenant = field(default_factory=dict)
    _members: set[tuple[UUID, int, str, str]] = field(default_factory=set)

    @classmethod
    def of(cls, ask: Ask) -> "Tally":
        meter = ask.meter
        every = meter.dimensions if meter.additive else ()
        return cls(meter, tuple(ask.windows), every if ask.group_by is None else ask.group_by)

    def count(self, tenant_id: UUID, index: int, dimensions: str, value: Decimal) -> None:
        key = (tenant_id, index, projected(dimensions, self.names))
        held = self._values.get(key)
        if held is None:
            self._values[key] = value
        elif self.meter.aggregation == "max":
            self._values[key] = max(held, value)
        else:
            self._values[key] = WIDE.add(held, value)

    def see(self, tenant_id: UUID, index: int, dimensions: str, member: str) -> None:
        """A value that is counted once, however often it is seen."""
        self._members.add((tenant_id, index, projected(dimensions, self.names), member))

    def answer(self) -> MeasuredByTenant:
        """What saw no usage is absent."""
        if self.meter.aggregation == "unique":
            counts: MeasuredByTenant = defaultdict(Decimal)
            for tenant_id, index, dimensions, _ in self._members:
                counts[tenant_id, index, dimensions] += 1
            return dict(counts)
        if self.meter.aggregation in ("span", "time_weighted"):
            return {key: quantity(value) for key, value in self._values.items() if value}
        return self._values


@lru_cache(maxsize=20_000)
def projected(dimensions: str, names: tuple[str, ...]) -> str:
    """Only these of the dimensions, as canonical JSON; one that is not there is empty."""
    known = json.loads(dimensions)
    return dimensions_json(names, tuple(known.get(name, "") for name in names))
