"""How a tenant runtime is configured when the control plane deploys it."""

from typing import Annotated

from pydantic import Field

from contracts.base import Contract


class RuntimeConfig(Contract):
    """Becomes the runtime's environment (RUNTIME_*, MODEL_*); secrets are handed over as files.

    `model_base_url` None means the built-in offline stand-in `offline-rules-1`.
    `usage_url` is the control plane's ingest endpoint; None keeps usage in the runtime's outbox.
    """

    version: str
    python: str | None = None
    """Interpreter of the environment that this version is installed in; None: the control plane's own."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    manifest: str | None = None
    model: str = "offline-rules-1"
    model_base_url: str | None = None
    usage_url: str | None = None


#: Who signs tokens for runtimes (`iss`), and what a user's id (`sub`) may look like.
TOKEN_ISSUER = "urn:freehold:control-plane"  # noqa: S105 - a name
RUNTIME_USER = r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,199}"

#: Tables of the runtime's database that never go back in time with a restore: which keys are good, what was done,
#: and which usage was reported. A tenant that gets another's data gets none of the first and the last.
KEYS_TABLE = "api_keys"
AUDIT_TABLE = "audit_log"
OUTBOX_TABLE = "usage_outbox"
