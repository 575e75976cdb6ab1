"""The base every contract shares."""

from pydantic import BaseModel, ConfigDict


class Contract(BaseModel):
    """Immutable and strict about unknown fields: a peer of another version fails loudly, not silently."""

    # Errors reach logs and screens: they name the field, and not what was in it.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
