"""No identity of a tenant may do everything, and no stranger may become one."""

from collections.abc import Iterator, Mapping
from typing import Any

from contracts.planned import PlannedResource
from stacks.policy.model import Planned, Violation, rule
from stacks.reading import at, is_unknown, many, statements

#: Type -> input that holds a policy document.
_DOCUMENTS = {
    "aws:iam/policy:Policy": "policy",
    "aws:iam/rolePolicy:RolePolicy": "policy",
    "aws:iam/userPolicy:UserPolicy": "policy",
    "aws:iam/groupPolicy:GroupPolicy": "policy",
    "aws:vpc/endpointPolicy:EndpointPolicy": "policy",
}
_ADMINISTRATORS = ("AdministratorAccess", "IAMFullAccess", "PowerUserAccess")


@rule("no-wildcard-iam", "deny")
def no_wildcard_iam(plan: Planned) -> Iterator[Violation]:
    """No policy or role allows every action, or every action of a service on every resource."""
    for resource in plan.wanted(*_DOCUMENTS):
        read = statements((resource.after or {}).get(_DOCUMENTS[resource.type]))
        if read is None:
            yield Violation(resource, "its document is known after the apply", undecided=True)
            continue
        for statement in read:
            yield from _wide(resource, statement)
    for attachment in plan.wanted("aws:iam/rolePolicyAttachment:RolePolicyAttachment"):
        arn = str(at(attachment.after, "policyArn") or "")
        if arn.rpartition("/")[2] in _ADMINISTRATORS:
            yield Violation(attachment, f"attaches {arn.rpartition('/')[2]}")
    yield from _cluster_roles(plan)


def _wide(resource: PlannedResource, statement: Mapping[str, Any]) -> Iterator[Violation]:
    if statement.get("Effect") != "Allow":
        return
    if "NotAction" in statement:
        yield Violation(resource, "allows everything but what it names (`NotAction`)")
    everywhere = "*" in many(statement.get("Resource")) or "NotResource" in statement
    for action in map(str, many(statement.get("Action"))):
        if action in ("*", "*:*"):
            yield Violation(resource, "allows every action")
        elif action.endswith(":*") and everywhere:
            yield Violation(resource, f"allows {action} on every resource")


def _cluster_roles(plan: Planned) -> Iterator[Violation]:
    for role in plan.wanted("kubernetes:rbac.authorization.k8s.io/v1:"):
        for granted in many(at(role.after, "rules")):
            verbs, resources = many(at(granted, "verbs")), many(at(granted, "resources"))
            if "*" in verbs and ("*" in resources or "*" in many(at(granted, "apiGroups"))):
                yield Violation(role, "allows every verb on every resource")
        if at(role.after, "roleRef", "name") == "cluster-admin":
            yield Violation(role, "binds cluster-admin")


@rule("no-open-trust", "deny")
def no_open_trust(plan: Planned) -> Iterator[Violation]:
    """No role, key, bucket or queue trusts every principal."""
    documents = {
        "aws:iam/role:Role": "assumeRolePolicy",
        "aws:kms/key:Key": "policy",
        "aws:s3/bucketPolicy:BucketPolicy": "policy",
        "aws:sqs/queuePolicy:QueuePolicy": "policy",
        "aws:ecr/repositoryPolicy:RepositoryPolicy": "policy",
    }
    for resource in plan.wanted(*documents):
        document = (resource.after or {}).get(documents[resource.type])
        if document is None:
            continue
        read = statements(document)
        if read is None:
            if is_unknown(document):
                yield Violation(resource, "whom it trusts is known after the apply", undecided=True)
            else:
                yield Violation(resource, "its policy document is no JSON")
            continue
        for statement in read:
            principal = statement.get("Principal")
            anyone = principal == "*" or "*" in many(at(principal, "AWS"))
            if statement.get("Effect") == "Allow" and anyone and not statement.get("Condition"):
                yield Violation(resource, "trusts every principal")
