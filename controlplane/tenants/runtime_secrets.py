"""What a tenant's runtime seals its data with and signs its webhooks with: made here, brought by the stack.

A storage key stays for the tenant's life, since the data of years lies under it: renewing credentials leaves it as it
is. A snapshot keeps the keys of its data, so that a tenant made from it can read what it brings; there they carry the
name of the tenant that sealed with them (docs/guides/runtime-durability.md). Signing secrets are renewed with the other
credentials; the one before the newest signs too, until the next time, so that receivers can change at their pace.
"""

import base64
import secrets as token_source
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict

#: Under which names the sealed secrets hold them: storage keys with the tenant's own first, signing secrets with the
#: newest first.
STORAGE: Final = "storage_keys"
WEBHOOK: Final = "webhook_secrets"
_KEY_BYTES: Final = 32
_SIGNING: Final = 2


class StorageKey(TypedDict):
    """`tenant` is the name of another one that sealed with it; None: the tenant that has it. `key` is base64."""

    id: str
    tenant: str | None
    key: str


def runtime_secrets_make(
    old: Mapping[str, Any], *, brought: Sequence[StorageKey] = ()
) -> dict[str, list[Any]]:
    """The members of the sealed secrets that take the place of those in `old`: empty for a new tenant, to which a
    snapshot may have `brought` keys."""
    kept = old.get(STORAGE) or [_storage_key_make(), *brought]
    return {STORAGE: kept, WEBHOOK: [_webhook_secret_make(), *old.get(WEBHOOK, [])][:_SIGNING]}


def storage_keys_named(keys: Sequence[StorageKey], slug: str) -> list[StorageKey]:
    """As another tenant needs them."""
    return [StorageKey(id=each["id"], tenant=each["tenant"] or slug, key=each["key"]) for each in keys]


def storage_keys_text(sealed: Mapping[str, Any]) -> str | None:
    """RUNTIME_ENCRYPTION_KEYS; None for a tenant of a release without them."""
    keys: Sequence[StorageKey] = sealed.get(STORAGE, [])
    return ",".join(_entry(each) for each in keys) or None


def webhook_secrets_text(sealed: Mapping[str, Any]) -> str | None:
    """RUNTIME_WEBHOOK_SECRET: all that sign, newest first; None for a tenant of a release without them."""
    return ",".join(sealed.get(WEBHOOK, [])) or None


def _entry(key: StorageKey) -> str:
    return f"{key['id']}{'@' + key['tenant'] if key['tenant'] else ''}:{key['key']}"


def _storage_key_make() -> StorageKey:
    key = base64.b64encode(token_source.token_bytes(_KEY_BYTES)).decode()
    # By chance unlike that of any other tenant, whose keys may come here with a snapshot.
    return StorageKey(id=f"k{token_source.token_hex(8)}", tenant=None, key=key)


def _webhook_secret_make() -> str:
    return f"whsec_{base64.b64encode(token_source.token_bytes(_KEY_BYTES)).decode()}"
