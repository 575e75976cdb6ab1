"""A tenant's stack as a program elsewhere may plan it: its specification, and its state without any secret.

Where a secret stood stands a placeholder of its shape: texts, numbers and flags are one value each. Whoever plans puts
the same in place of every secret that a program registers (stacks/preview), so that what did not change compares as
equal. That a secret changed cannot be seen in such a plan.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from pydantic import model_validator

from contracts.base import Contract
from contracts.stack import StackSecrets, StackSpec

#: The engine's mark of a secret in a state and in its protocol (pulumi, sdk/go/common/resource/sig).
SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105
#: Long enough for every rule on passwords, and base64 as Kubernetes wants the data of a Secret.
PLACEHOLDER: Final = "blinded0" * 4


class StackExport(Contract):
    """`secrets` names the fields of StackSecrets that are set. `deployment` is None for a stack without a state."""

    spec: StackSpec
    secrets: list[str]
    deployment: dict[str, Any] | None

    @model_validator(mode="after")
    def _holds_no_secret(self) -> "StackExport":
        if self.deployment is not None:
            state_require_blinded(self.deployment)
        return self


def blinded(value: Any) -> Any:
    """A placeholder of the same shape."""
    if isinstance(value, Mapping):
        return {name: blinded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [blinded(item) for item in value]
    if value is None:
        return None
    if isinstance(value, bool):
        return False
    return PLACEHOLDER if isinstance(value, str) else 0


def state_blinded(value: Any, known: Collection[str] = ()) -> Any:
    """A state as `pulumi stack export --show-secrets` gives it, every secret in it blinded, and what quotes a known one
    where none is marked. ValueError for a secret that is encrypted still: its shape is not told."""
    if isinstance(value, Mapping):
        if value.get(SIGNATURE) == SECRET_SIGNATURE:
            if "plaintext" not in value:
                raise ValueError("the state holds an encrypted secret")
            return {
                SIGNATURE: SECRET_SIGNATURE,
                "plaintext": json.dumps(blinded(json.loads(value["plaintext"]))),
            }
        return {name: state_blinded(item, known) for name, item in value.items()}
    if isinstance(value, list):
        return [state_blinded(item, known) for item in value]
    if isinstance(value, str):
        for secret in known:
            value = value.replace(secret, PLACEHOLDER)
    return value


def state_require_blinded(state: Any) -> None:
    """ValueError when a secret of the state is not blinded."""
    if state_blinded(state) != state:
        raise ValueError("the state holds a secret that is not blinded")


def secrets_blinded(export: StackExport) -> StackSecrets:
    """Placeholders for what the control plane would hand to the program."""
    needed = {name for name, field in StackSecrets.model_fields.items() if field.is_required()}
    return StackSecrets(**dict.fromkeys(needed | set(export.secrets), PLACEHOLDER))
