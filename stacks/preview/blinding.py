"""Puts the export's placeholders in place of every secret that a program registers.

The engine compares what a program registers with the state. Both sides have to hold the same where a secret is, or
every one of them would look changed.
"""

from collections.abc import Callable
from typing import Any

from pulumi.runtime.rpc import UNKNOWN
from pulumi.runtime.settings import get_monitor

from contracts.export import PLACEHOLDER, SECRET_SIGNATURE, SIGNATURE
from stacks.preview.offline import offline_inputs

#: The engine's mark of an output that says of itself whether it is secret.
_OUTPUT_SIGNATURE = "d0e6a833031e9bbcd3f4e8bde6ca49a4"


def program_blinded(program: Callable[[], None]) -> Callable[[], None]:
    """The inline program, whose secrets do not reach the engine."""

    def blinded() -> None:
        monitor = get_monitor()
        assert monitor is not None, "the program runs under the engine"
        register = monitor.RegisterResource

        def registered(request: Any, *args: Any, **kwargs: Any) -> Any:
            struct_blind(request.object)
            offline_inputs(request.type, request.object)
            return register(request, *args, **kwargs)

        monitor.RegisterResource = registered
        program()

    return blinded


def struct_blind(struct: Any) -> None:
    """Blinds every secret below a protobuf Struct, in place. What is not known yet stays so."""
    for value in struct.fields.values():
        _value_blind(value, secret=False)


def _value_blind(value: Any, *, secret: bool) -> None:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        fields = value.struct_value.fields
        signature = fields[SIGNATURE].string_value if SIGNATURE in fields else ""
        if signature == SECRET_SIGNATURE:
            _value_blind(fields["value"], secret=True)
        elif signature == _OUTPUT_SIGNATURE:
            hidden = secret or ("secret" in fields and fields["secret"].bool_value)
            if "value" in fields:
                _value_blind(fields["value"], secret=hidden)
        elif not signature:
            for item in fields.values():
                _value_blind(item, secret=secret)
    elif kind == "list_value":
        for item in value.list_value.values:
            _value_blind(item, secret=secret)
    elif secret and kind == "string_value" and value.string_value != UNKNOWN:
        value.string_value = PLACEHOLDER
    elif secret and kind == "number_value":
        value.number_value = 0
    elif secret and kind == "bool_value":
        value.bool_value = False
