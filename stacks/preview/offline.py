"""What a provider is told where there are no credentials, in the state and in the program alike.

The provider `aws` checks its login when it is configured, unless it is told not to. `kubernetes` has no such switch:
where its cluster does not answer, it says so itself.
"""

from collections.abc import Mapping
from typing import Any, Final

#: Provider type -> inputs; None takes one away. Providers get their inputs as texts.
OFFLINE: Final[Mapping[str, Mapping[str, str | None]]] = {
    "pulumi:providers:aws": {
        "accessKey": "preview",
        "secretKey": "preview",
        "skipCredentialsValidation": "true",
        "skipMetadataApiCheck": "true",
        "skipRequestingAccountId": "true",
        # Each of these asks AWS who one is.
        "allowedAccountIds": None,
        "assumeRoles": None,
        "profile": None,
    },
}


def offline_inputs(type_name: str, inputs: Any) -> None:
    """Sets them on what a program registers, a protobuf Struct, in place."""
    for name, wanted in OFFLINE.get(type_name, {}).items():
        if wanted is None:
            inputs.fields.pop(name, None)
        else:
            inputs.fields[name].string_value = wanted


def offline_state(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a resource of the state."""
    changed = dict(resource)
    for side in ("inputs", "outputs"):
        values = dict(changed.get(side) or {})
        for name, wanted in OFFLINE.get(str(resource.get("type")), {}).items():
            if wanted is None:
                values.pop(name, None)
            else:
                values[name] = wanted
        if values:
            changed[side] = values
    return changed
