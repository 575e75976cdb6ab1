"""Keys, and the names that point to them."""

from collections.abc import Iterator

from tests.support.providers.aws import orders
from tests.support.providers.aws.account import Account, Values
from tests.support.providers.aws.gaps import forgotten_get, forgotten_put, key_id_of
from tests.support.providers.aws.handler import Handler, arguments, found, pairs, shown, unpaired


class Key(Handler):
    TYPE = "aws:kms/key:Key"
    TAGGED = True
    OPTIONAL = frozenset(
        {"description", "policy", "enableKeyRotation", "deletionWindowInDays", "keyUsage", "isEnabled"}
        | {"customerMasterKeySpec", "multiRegion", "rotationPeriodInDays", "bypassPolicyLockoutSafetyCheck"}
    )
    REPLACES = frozenset({"keyUsage", "customerMasterKeySpec", "multiRegion"})
    COMPUTED = frozenset({"arn", "keyId", "policy"})

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        if not 7 <= inputs.get("deletionWindowInDays", 30) <= 30:
            yield "deletionWindowInDays", "7 to 30 days"
        if not 90 <= inputs.get("rotationPeriodInDays", 365) <= 2560:
            yield "rotationPeriodInDays", "90 to 2560 days"

    def create(self, aws: Account, inputs: Values) -> str:
        names = {
            "description": "Description",
            "policy": "Policy",
            "keyUsage": "KeyUsage",
            "customerMasterKeySpec": "KeySpec",
            "multiRegion": "MultiRegion",
        }
        answer = aws.client("kms").create_key(
            **arguments(inputs, names), Tags=pairs(inputs["tagsAll"], "TagKey", "TagValue")
        )
        key_id: str = answer["KeyMetadata"]["KeyId"]
        self._settle(aws, key_id, inputs)
        return key_id

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        kms = aws.client("kms")
        answer = found(lambda: kms.describe_key(KeyId=identifier))
        if answer is None or answer["KeyMetadata"]["KeyState"] == "PendingDeletion":
            return None
        key = answer["KeyMetadata"]
        tags = kms.list_resource_tags(KeyId=identifier)["Tags"]
        names = {"arn": "Arn", "keyId": "KeyId", "description": "Description", "keyUsage": "KeyUsage"}
        return {
            **shown(key, names),
            "isEnabled": key["Enabled"],
            "enableKeyRotation": kms.get_key_rotation_status(KeyId=identifier)["KeyRotationEnabled"],
            "policy": kms.get_key_policy(KeyId=identifier, PolicyName="default")["Policy"],
            # moto does not return it.
            **forgotten_get(aws, self.TYPE, identifier),
            "tagsAll": unpaired(tags, "TagKey", "TagValue"),
        }

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        kms = aws.client("kms")
        if "description" in changed:
            kms.update_key_description(KeyId=identifier, Description=inputs.get("description", ""))
        if "policy" in changed and "policy" in inputs:
            kms.put_key_policy(KeyId=identifier, PolicyName="default", Policy=inputs["policy"])
        self._settle(aws, identifier, inputs)

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        if self.read(aws, identifier, state) is None:
            return
        orders.key_unused(aws, identifier)
        days = state.get("deletionWindowInDays", 30)
        aws.client("kms").schedule_key_deletion(KeyId=key_id_of(identifier), PendingWindowInDays=days)

    def tag(self, aws: Account, identifier: str, state: Values, put: dict[str, str], gone: list[str]) -> None:
        if gone:
            aws.client("kms").untag_resource(KeyId=identifier, TagKeys=gone)
        if put:
            aws.client("kms").tag_resource(KeyId=identifier, Tags=pairs(put, "TagKey", "TagValue"))

    def _settle(self, aws: Account, key_id: str, inputs: Values) -> None:
        """What is not part of the creation."""
        kms = aws.client("kms")
        if inputs.get("enableKeyRotation"):
            period = arguments(inputs, {"rotationPeriodInDays": "RotationPeriodInDays"})
            kms.enable_key_rotation(KeyId=key_id, **period)
            forgotten_put(
                aws, self.TYPE, key_id, {"rotationPeriodInDays": inputs.get("rotationPeriodInDays", 365)}
            )
        else:
            kms.disable_key_rotation(KeyId=key_id)
        if inputs.get("isEnabled", True):
            kms.enable_key(KeyId=key_id)
        else:
            kms.disable_key(KeyId=key_id)


class Alias(Handler):
    TYPE = "aws:kms/alias:Alias"
    REQUIRED = frozenset({"name", "targetKeyId"})
    REPLACES = frozenset({"name"})
    COMPUTED = frozenset({"arn", "targetKeyArn"})
    NAME = "name"

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        name = inputs.get("name", "alias/x")
        if not name.startswith("alias/") or name.startswith("alias/aws/"):
            yield "name", f"{name}: must begin with alias/ and not with alias/aws/"

    def recomputed(self, changed: set[str]) -> set[str]:
        return {"targetKeyArn"} if "targetKeyId" in changed else set()

    def alike(self, name: str, given: object, seen: object) -> bool:
        if name == "targetKeyId":
            return key_id_of(str(given)) == key_id_of(str(seen))
        return super().alike(name, given, seen)

    def create(self, aws: Account, inputs: Values) -> str:
        aws.client("kms").create_alias(AliasName=inputs["name"], TargetKeyId=key_id_of(inputs["targetKeyId"]))
        return str(inputs["name"])

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        kms = aws.client("kms")
        for page in kms.get_paginator("list_aliases").paginate():
            for alias in page["Aliases"]:
                if alias["AliasName"] == identifier and "TargetKeyId" in alias:
                    target = alias["TargetKeyId"]
                    return {
                        "name": identifier,
                        "arn": alias["AliasArn"],
                        "targetKeyId": target,
                        "targetKeyArn": aws.arn("kms", f"key/{target}"),
                    }
        return None

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        aws.client("kms").update_alias(AliasName=identifier, TargetKeyId=key_id_of(inputs["targetKeyId"]))

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        found(lambda: aws.client("kms").delete_alias(AliasName=identifier))


HANDLERS: list[Handler] = [Key(), Alias()]
