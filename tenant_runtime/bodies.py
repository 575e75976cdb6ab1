"""What the bodies of requests have in common at every door: nothing in them that Postgres cannot store."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


def nul_inside(value: Any) -> bool:
    """Whether any string in it holds the character Postgres cannot store."""
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(nul_inside(key) or nul_inside(item) for key, item in value.items())
    if isinstance(value, list):
        return any(nul_inside(item) for item in value)
    return False


class Body(BaseModel):
    """Members a newer client sends and we do not know are ignored, as SDK clients expect."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        if nul_inside(value):
            raise ValueError("the NUL character cannot be stored")
        return value
