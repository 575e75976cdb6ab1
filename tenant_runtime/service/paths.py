"""Paths into a thread as a search may extract them: `values.messages[-1].content`."""

import re
from typing import Annotated, Any, Final

from pydantic import Field

_STEP: Final = re.compile(r"\.?([A-Za-z_][A-Za-z0-9_-]*)|\[(-?\d{1,6})\]")
Path = Annotated[
    str,
    Field(
        max_length=200,
        pattern=r"^(metadata|values|config|interrupts)(\.[A-Za-z_][A-Za-z0-9_-]*|\[-?\d{1,6}\])*$",
    ),
]


def path_read(document: Any, path: str) -> Any:
    """What is there; None where a step leads nowhere."""
    here = document
    for step in _STEP.finditer(path):
        name, index = step.groups()
        if name is not None:
            here = here.get(name) if isinstance(here, dict) else None
        elif isinstance(here, list) and -len(here) <= int(index) < len(here):
            here = here[int(index)]
        else:
            here = None
        if here is None:
            return None
    return here
