"""The rules every plan is asked: one module a subject, one small function a rule."""

from stacks.policy.model import Rule
from stacks.policy.rules.data import stateful_kept
from stacks.policy.rules.encryption import stores_encrypted, transit_encrypted
from stacks.policy.rules.gpus import gpus_within_plan
from stacks.policy.rules.identity import no_open_trust, no_wildcard_iam
from stacks.policy.rules.images import images_by_digest
from stacks.policy.rules.network import no_public_ingress
from stacks.policy.rules.pods import no_privileged_pods
from stacks.policy.rules.tags import tenant_tags

BUILT_IN: tuple[Rule, ...] = (
    no_public_ingress,
    stores_encrypted,
    transit_encrypted,
    no_wildcard_iam,
    no_open_trust,
    stateful_kept,
    tenant_tags,
    gpus_within_plan,
    images_by_digest,
    no_privileged_pods,
)
