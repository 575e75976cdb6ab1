"""Roles and policies."""

import json
import re
from collections.abc import Iterator
from urllib.parse import unquote

from tests.support.providers.aws import orders
from tests.support.providers.aws.account import Account, Values
from tests.support.providers.aws.handler import (
    Handler,
    arguments,
    found,
    pairs,
    policy_document,
    shown,
    unpaired,
)

_NAME = re.compile(r"[\w+=,.@-]+")


class Role(Handler):
    TYPE = "aws:iam/role:Role"
    TAGGED = True
    REQUIRED = frozenset({"name", "assumeRolePolicy"})
    OPTIONAL = frozenset(
        {"description", "path", "maxSessionDuration", "permissionsBoundary", "forceDetachPolicies"}
    )
    REPLACES = frozenset({"name", "path"})
    COMPUTED = frozenset({"arn", "createDate", "uniqueId"})
    NAME = "name"

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        yield from _name_invalid(inputs, 64)
        yield from _policy_invalid("assumeRolePolicy", inputs)

    def create(self, aws: Account, inputs: Values) -> str:
        names = {
            "name": "RoleName",
            "description": "Description",
            "path": "Path",
            "maxSessionDuration": "MaxSessionDuration",
            "permissionsBoundary": "PermissionsBoundary",
        }
        trust = policy_document(inputs["assumeRolePolicy"])
        given = arguments(inputs, names) | {"AssumeRolePolicyDocument": trust}
        aws.client("iam").create_role(**given, Tags=pairs(inputs["tagsAll"]))
        return str(inputs["name"])

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        answer = found(lambda: aws.client("iam").get_role(RoleName=identifier))
        if answer is None:
            return None
        role = answer["Role"]
        names = {
            "name": "RoleName",
            "arn": "Arn",
            "path": "Path",
            "description": "Description",
            "uniqueId": "RoleId",
            "maxSessionDuration": "MaxSessionDuration",
        }
        return {
            **shown(role, names),
            "assumeRolePolicy": _document_text(role["AssumeRolePolicyDocument"]),
            "createDate": role["CreateDate"].isoformat(),
            "tagsAll": unpaired(role.get("Tags")),
        }

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        iam = aws.client("iam")
        if "assumeRolePolicy" in changed:
            iam.update_assume_role_policy(
                RoleName=identifier, PolicyDocument=policy_document(inputs["assumeRolePolicy"])
            )
        names = {"description": "Description", "maxSessionDuration": "MaxSessionDuration"}
        if changed & names.keys():
            iam.update_role(RoleName=identifier, **arguments(inputs, names))
        if "permissionsBoundary" in changed:
            boundary = inputs.get("permissionsBoundary")
            if boundary:
                iam.put_role_permissions_boundary(RoleName=identifier, PermissionsBoundary=boundary)
            else:
                iam.delete_role_permissions_boundary(RoleName=identifier)

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        if found(lambda: aws.client("iam").get_role(RoleName=identifier)) is not None:
            orders.role_bare(aws, identifier)
            aws.client("iam").delete_role(RoleName=identifier)

    def tag(self, aws: Account, identifier: str, state: Values, put: dict[str, str], gone: list[str]) -> None:
        if gone:
            aws.client("iam").untag_role(RoleName=identifier, TagKeys=gone)
        if put:
            aws.client("iam").tag_role(RoleName=identifier, Tags=pairs(put))


class RolePolicy(Handler):
    TYPE = "aws:iam/rolePolicy:RolePolicy"
    REQUIRED = frozenset({"role", "policy", "name"})
    REPLACES = frozenset({"role", "name"})
    NAME = "name"

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        yield from _policy_invalid("policy", inputs)

    def create(self, aws: Account, inputs: Values) -> str:
        self._put(aws, inputs)
        return f"{_role_name(inputs['role'])}:{inputs['name']}"

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        role, _, name = identifier.partition(":")
        answer = found(lambda: aws.client("iam").get_role_policy(RoleName=role, PolicyName=name))
        if answer is None:
            return None
        document = _document_text(answer["PolicyDocument"])
        return {"role": state.get("role", role), "name": name, "policy": document}

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        self._put(aws, inputs)

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        role, _, name = identifier.partition(":")
        found(lambda: aws.client("iam").delete_role_policy(RoleName=role, PolicyName=name))

    def _put(self, aws: Account, inputs: Values) -> None:
        aws.client("iam").put_role_policy(
            RoleName=_role_name(inputs["role"]),
            PolicyName=inputs["name"],
            PolicyDocument=policy_document(inputs["policy"]),
        )


class RolePolicyAttachment(Handler):
    TYPE = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
    REQUIRED = frozenset({"role", "policyArn"})
    REPLACES = frozenset({"role", "policyArn"})

    def create(self, aws: Account, inputs: Values) -> str:
        role = _role_name(inputs["role"])
        aws.client("iam").attach_role_policy(RoleName=role, PolicyArn=inputs["policyArn"])
        return f"{role}/{inputs['policyArn']}"

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        role, _, policy = identifier.partition("/")
        answer = found(lambda: aws.client("iam").list_attached_role_policies(RoleName=role))
        attached = [each["PolicyArn"] for each in (answer or {}).get("AttachedPolicies", [])]
        return {"role": state.get("role", role), "policyArn": policy} if policy in attached else None

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        role, _, policy = identifier.partition("/")
        found(lambda: aws.client("iam").detach_role_policy(RoleName=role, PolicyArn=policy))


class Policy(Handler):
    TYPE = "aws:iam/policy:Policy"
    TAGGED = True
    REQUIRED = frozenset({"name", "policy"})
    OPTIONAL = frozenset({"description", "path"})
    REPLACES = frozenset({"name", "description", "path"})
    COMPUTED = frozenset({"arn", "policyId", "attachmentCount"})
    NAME = "name"

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        yield from _name_invalid(inputs, 128)
        yield from _policy_invalid("policy", inputs)

    def create(self, aws: Account, inputs: Values) -> str:
        answer = aws.client("iam").create_policy(
            PolicyDocument=policy_document(inputs["policy"]),
            Tags=pairs(inputs["tagsAll"]),
            **arguments(inputs, {"name": "PolicyName", "description": "Description", "path": "Path"}),
        )
        return str(answer["Policy"]["Arn"])

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        iam = aws.client("iam")
        answer = found(lambda: iam.get_policy(PolicyArn=identifier))
        if answer is None:
            return None
        policy = answer["Policy"]
        version = iam.get_policy_version(PolicyArn=identifier, VersionId=policy["DefaultVersionId"])
        names = {"name": "PolicyName", "path": "Path", "arn": "Arn", "policyId": "PolicyId"}
        return {
            **shown(policy, names),
            "attachmentCount": policy.get("AttachmentCount", 0),
            "policy": _document_text(version["PolicyVersion"]["Document"]),
            "tagsAll": unpaired(policy.get("Tags")),
        }

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        iam = aws.client("iam")
        # AWS keeps five versions.
        for version in iam.list_policy_versions(PolicyArn=identifier)["Versions"][3:]:
            if not version["IsDefaultVersion"]:
                iam.delete_policy_version(PolicyArn=identifier, VersionId=version["VersionId"])
        iam.create_policy_version(
            PolicyArn=identifier, PolicyDocument=policy_document(inputs["policy"]), SetAsDefault=True
        )

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        iam = aws.client("iam")
        if found(lambda: iam.get_policy(PolicyArn=identifier)) is None:
            return
        orders.policy_unattached(aws, identifier)
        for version in iam.list_policy_versions(PolicyArn=identifier)["Versions"]:
            if not version["IsDefaultVersion"]:
                iam.delete_policy_version(PolicyArn=identifier, VersionId=version["VersionId"])
        iam.delete_policy(PolicyArn=identifier)

    def tag(self, aws: Account, identifier: str, state: Values, put: dict[str, str], gone: list[str]) -> None:
        if gone:
            aws.client("iam").untag_policy(PolicyArn=identifier, TagKeys=gone)
        if put:
            aws.client("iam").tag_policy(PolicyArn=identifier, Tags=pairs(put))


def _role_name(role: str) -> str:
    """The official provider takes a role's name, and resolves a role to its id, which is the name."""
    return role.rsplit("/", 1)[-1]


def _document_text(document: object) -> str:
    return unquote(document) if isinstance(document, str) else json.dumps(document)


def _name_invalid(inputs: Values, longest: int) -> Iterator[tuple[str, str]]:
    name = inputs.get("name")
    if name is not None and (len(name) > longest or not _NAME.fullmatch(name)):
        yield "name", f"{name!r}: at most {longest} letters, digits and +=,.@-_"


def _policy_invalid(field: str, inputs: Values) -> Iterator[tuple[str, str]]:
    if field in inputs:
        try:
            document = json.loads(policy_document(inputs[field]))
        except ValueError:
            yield field, "MalformedPolicyDocument: not JSON"
            return
        if document.get("Version") != "2012-10-17" or not document.get("Statement"):
            yield field, "MalformedPolicyDocument: needs Version 2012-10-17 and a Statement"


HANDLERS: list[Handler] = [Role(), RolePolicy(), RolePolicyAttachment(), Policy()]
