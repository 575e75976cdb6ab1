"""Fills a trigger's input from the message that came. Pure: no code of the manifest or of the message is run.

`"{{/customer/email}}"` alone stands for the value at that JSON pointer (RFC 6901), whatever its type; within other
text it stands for the value as text. `{{}}` is the whole message.
"""

import json
import re
from typing import Any, Final

from tenant_runtime.errors import Invalid

_PLACE: Final = re.compile(r"\{\{((?:/[^{}]*)?)\}\}")
POINTER: Final = re.compile(r"^(?:/(?:[^~]|~[01])*)?$")


def pointed(message: Any, pointer: str) -> Any:
    """The value at the pointer; Invalid when there is none. The message itself is not repeated in the refusal."""
    value = message
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        try:
            if isinstance(value, list) and (name == "0" or re.fullmatch(r"[1-9]\d{0,8}", name)):
                value = value[int(name)]
            elif isinstance(value, dict):
                value = value[name]
            else:
                raise KeyError(name)
        except (KeyError, IndexError):
            raise Invalid(
                f"the message has nothing at {pointer!r}, which the trigger wants", code="trigger_misfit"
            ) from None
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def template_fill(template: Any, message: Any) -> Any:
    if isinstance(template, dict):
        return {name: template_fill(part, message) for name, part in template.items()}
    if isinstance(template, list):
        return [template_fill(part, message) for part in template]
    if not isinstance(template, str):
        return template
    whole = _PLACE.fullmatch(template)
    if whole is not None:
        return pointed(message, whole[1])
    return _PLACE.sub(lambda found: _text(pointed(message, found[1])), template)


def template_problems(template: Any) -> list[str]:
    """Strings whose braces are no pointer: a slip that would otherwise reach the agent as text."""
    if isinstance(template, dict):
        return [problem for part in template.values() for problem in template_problems(part)]
    if isinstance(template, list):
        return [problem for part in template for problem in template_problems(part)]
    if isinstance(template, str) and "{{" in _PLACE.sub("", template):
        return [template[:80]]
    return []
