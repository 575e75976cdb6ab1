"""Everything a tenant has says whose it is: leak scans and cost allocation go by it."""

from collections.abc import Iterator

from stacks.policy.model import Planned, Violation, rule
from stacks.reading import at, is_unknown

TENANT_TAG = "freehold:tenant"
#: Kubernetes allows no colon in a label's name.
TENANT_LABEL = "freehold.dev/tenant"

#: Types of AWS that carry no tags of their own.
_UNTAGGED = (
    "Attachment",
    "Association",
    "Policy",
    "Alias",
    "Route",
    "Configuration",
    "PublicAccessBlock",
    "Versioning",
    "VersioningV2",
    "OwnershipControls",
    "SecretVersion",
    "SubnetCidr",
    "Lifecycle",
)


@rule("tenant-tags", "deny")
def tenant_tags(plan: Planned) -> Iterator[Violation]:
    """Each AWS resource that can be tagged has `freehold:tenant`, each Kubernetes object the label
    `freehold.dev/tenant`, and both name this tenant."""
    for resource in plan.wanted("aws:", "kubernetes:"):
        if resource.type.startswith("aws:"):
            if resource.type.endswith(_UNTAGGED):
                continue
            where, tags = TENANT_TAG, at(resource.after, "tags")
        else:
            if ":core/v1:List" in resource.type or resource.type.endswith("Patch"):
                continue
            where, tags = TENANT_LABEL, at(resource.after, "metadata", "labels")
        if is_unknown(tags):
            yield Violation(resource, f"its tags are known after the apply ({where})", undecided=True)
            continue
        said = at(tags, where)
        if said is None:
            yield Violation(resource, f"has no {where}")
        elif said != plan.spec.slug and not is_unknown(said):
            yield Violation(resource, f"{where} names {said}, not {plan.spec.slug}")
