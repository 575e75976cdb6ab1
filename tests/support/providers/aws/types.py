"""The table of what exists: every type that the stand-in knows, and what proves it."""

from tests.support.providers.aws import ec2, eks, elasticache, iam, kms, logs, rds, s3, secrets
from tests.support.providers.aws.handler import Handler, Proof

_MODULES = (ec2, eks, rds, elasticache, iam, kms, logs, s3, secrets)

HANDLERS: dict[str, Handler] = {handler.TYPE: handler for module in _MODULES for handler in module.HANDLERS}
#: Type -> whether an AWS emulator accepted it, or only the stand-in's own store.
PROVEN_BY: dict[str, Proof] = {name: handler.PROVEN_BY for name, handler in sorted(HANDLERS.items())}
