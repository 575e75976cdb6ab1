"""Secrets and their versions."""

from collections.abc import Iterator

from tests.support.providers.aws import orders
from tests.support.providers.aws.account import Account, Values
from tests.support.providers.aws.handler import Handler, arguments, found, pairs, shown, unpaired


class Secret(Handler):
    TYPE = "aws:secretsmanager/secret:Secret"
    TAGGED = True
    REQUIRED = frozenset({"name"})
    OPTIONAL = frozenset({"description", "kmsKeyId", "recoveryWindowInDays", "policy"})
    REPLACES = frozenset({"name"})
    COMPUTED = frozenset({"arn"})
    NAME = "name"

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        days = inputs.get("recoveryWindowInDays", 30)
        if days != 0 and not 7 <= days <= 30:
            yield "recoveryWindowInDays", "0, or 7 to 30 days"

    def create(self, aws: Account, inputs: Values) -> str:
        orders.key_exists(aws, inputs.get("kmsKeyId"))
        names = {"name": "Name", "description": "Description", "kmsKeyId": "KmsKeyId"}
        secrets = aws.client("secretsmanager")
        arn: str = secrets.create_secret(**arguments(inputs, names), Tags=pairs(inputs["tagsAll"]))["ARN"]
        if inputs.get("policy"):
            secrets.put_resource_policy(SecretId=arn, ResourcePolicy=inputs["policy"])
        return arn

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        answer = found(lambda: aws.client("secretsmanager").describe_secret(SecretId=identifier))
        if answer is None or answer.get("DeletedDate"):
            return None
        names = {"name": "Name", "description": "Description", "kmsKeyId": "KmsKeyId", "arn": "ARN"}
        return {**shown(answer, names), "tagsAll": unpaired(answer.get("Tags"))}

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        names = {"description": "Description", "kmsKeyId": "KmsKeyId"}
        secrets = aws.client("secretsmanager")
        if changed & names.keys():
            orders.key_exists(aws, inputs.get("kmsKeyId"))
            secrets.update_secret(SecretId=identifier, **arguments(inputs, names))
        if "policy" in changed and inputs.get("policy"):
            secrets.put_resource_policy(SecretId=identifier, ResourcePolicy=inputs["policy"])

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        days = state.get("recoveryWindowInDays", 30)
        how = {"RecoveryWindowInDays": days} if days else {"ForceDeleteWithoutRecovery": True}
        if self.read(aws, identifier, state) is not None:
            aws.client("secretsmanager").delete_secret(SecretId=identifier, **how)

    def tag(self, aws: Account, identifier: str, state: Values, put: dict[str, str], gone: list[str]) -> None:
        secrets = aws.client("secretsmanager")
        if gone:
            secrets.untag_resource(SecretId=identifier, TagKeys=gone)
        if put:
            secrets.tag_resource(SecretId=identifier, Tags=pairs(put))


class SecretVersion(Handler):
    TYPE = "aws:secretsmanager/secretVersion:SecretVersion"
    REQUIRED = frozenset({"secretId"})
    OPTIONAL = frozenset({"secretString", "secretBinary", "versionStages"})
    REPLACES = frozenset({"secretId", "secretString", "secretBinary"})
    COMPUTED = frozenset({"arn", "versionId", "secretArn"})
    SECRETS = frozenset({"secretString", "secretBinary"})

    def create(self, aws: Account, inputs: Values) -> str:
        names = {
            "secretId": "SecretId",
            "secretString": "SecretString",
            "secretBinary": "SecretBinary",
            "versionStages": "VersionStages",
        }
        answer = aws.client("secretsmanager").put_secret_value(**arguments(inputs, names))
        return f"{inputs['secretId']}|{answer['VersionId']}"

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        secret, _, version = identifier.rpartition("|")
        secrets = aws.client("secretsmanager")
        described = found(lambda: secrets.describe_secret(SecretId=secret))
        if described is None or described.get("DeletedDate"):
            return None
        answer = found(lambda: secrets.get_secret_value(SecretId=secret, VersionId=version))
        if answer is None:
            return None
        return {
            **shown(answer, {"secretString": "SecretString", "versionId": "VersionId"}),
            "secretId": secret,
            "arn": answer["ARN"],
            "secretArn": answer["ARN"],
            "versionStages": answer.get("VersionStages", []),
        }

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        """As the official provider does: the newest version goes with its secret, an older one loses its stages."""


HANDLERS: list[Handler] = [Secret(), SecretVersion()]
