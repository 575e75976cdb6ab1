"""Signatures of inbound messages by the Standard Webhooks scheme, over the body's bytes as they came."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from standardwebhooks import Webhook, WebhookVerificationError

from tenant_runtime.errors import Unauthenticated

PREFIX: Final = "whsec_"
#: The scheme's own bounds of a symmetric key, in bytes.
SHORTEST, LONGEST = 24, 64
_MOST_ID: Final = 256
_HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")


def secret_problem(secret: str) -> str | None:
    """Why this is no signing secret; None for a good one. The secret itself is never repeated."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX) + "==", validate=False)
    except (ValueError, binascii.Error):
        return "is not base64"
    if not SHORTEST <= len(key) <= LONGEST:
        return f"holds {len(key)} bytes, wanted {SHORTEST} to {LONGEST}"
    return None


@dataclass(frozen=True)
class Signed:
    """What the signature vouches for besides the body."""

    message_id: str


def signature_check(body: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> Signed:
    """Unauthenticated for a missing, wrong or foreign signature, or a timestamp more than five minutes off.

    Several secrets: the old and the new one while they change.
    """
    given = {name: headers.get(name, "") for name in _HEADERS}
    message_id = given["webhook-id"]
    refused = Unauthenticated(
        "sign the message by Standard Webhooks: webhook-id, webhook-timestamp (at most five minutes off) and "
        "webhook-signature over the body's bytes",
        code="signature_invalid",
    )
    if not message_id or len(message_id) > _MOST_ID or not message_id.isprintable():
        raise refused
    for secret in secrets:
        try:
            Webhook(secret).verify(body, given, json_parse=False)
        except (WebhookVerificationError, ValueError):
            # ValueError: a body that is no text, or a header that is no list of signatures.
            continue
        return Signed(message_id)
    raise refused
