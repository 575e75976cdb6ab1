"""Who is billed, as billing needs to know it; the control plane's tenant fits as it is."""

from datetime import datetime
from typing import Protocol
from uuid import UUID


class Customer(Protocol):
    """`created_at` is when the tenant began: the base fee runs from then."""

    @property
    def id(self) -> UUID: ...
    @property
    def slug(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
