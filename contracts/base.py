"""The base every contract shares."""

from pydantic import BaseModel, ConfigDict


class Contract(BaseModel):
    """Immutable and strict about unknown fields: a peer of another version fails loudly, not silently."""

    model_config = ConfigDict(frozen=True, extra="forbid")
