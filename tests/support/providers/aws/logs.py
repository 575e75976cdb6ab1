"""Log groups."""

from collections.abc import Iterator

from tests.support.providers.aws import orders
from tests.support.providers.aws.account import Account, Values
from tests.support.providers.aws.gaps import forgotten_get, forgotten_put, forgotten_remove
from tests.support.providers.aws.handler import Handler, arguments, found, shown

_RETENTIONS = (
    1,
    3,
    5,
    7,
    14,
    30,
    60,
    90,
    120,
    150,
    180,
    365,
    400,
    545,
    731,
    1096,
    1827,
    2192,
    2557,
    2922,
    3288,
)


class LogGroup(Handler):
    TYPE = "aws:cloudwatch/logGroup:LogGroup"
    TAGGED = True
    REQUIRED = frozenset({"name"})
    OPTIONAL = frozenset({"retentionInDays", "kmsKeyId", "logGroupClass", "skipDestroy"})
    REPLACES = frozenset({"name", "logGroupClass"})
    COMPUTED = frozenset({"arn"})
    NAME = "name"

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        days = inputs.get("retentionInDays", 0)
        if days not in (0, 3653, *_RETENTIONS):
            yield (
                "retentionInDays",
                f"{days}: CloudWatch keeps logs for {', '.join(map(str, _RETENTIONS))} days",
            )

    def create(self, aws: Account, inputs: Values) -> str:
        orders.key_exists(aws, inputs.get("kmsKeyId"))
        logs = aws.client("logs")
        given = arguments(inputs, {"name": "logGroupName", "kmsKeyId": "kmsKeyId"})
        logs.create_log_group(**given, tags=inputs["tagsAll"])
        self._retention(aws, inputs)
        return str(inputs["name"])

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        logs = aws.client("logs")
        listed = logs.describe_log_groups(logGroupNamePrefix=identifier)["logGroups"]
        groups = [group for group in listed if group["logGroupName"] == identifier]
        if not groups:
            return None
        arn = groups[0]["arn"].removesuffix(":*")
        return {
            **shown(groups[0], {"name": "logGroupName", "kmsKeyId": "kmsKeyId"}),
            # moto has no call to put a key on a group that is there.
            **forgotten_get(aws, self.TYPE, identifier),
            "retentionInDays": groups[0].get("retentionInDays", 0),
            "arn": arn,
            "tagsAll": logs.list_tags_for_resource(resourceArn=arn)["tags"],
        }

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        if "retentionInDays" in changed:
            self._retention(aws, inputs)
        if "kmsKeyId" in changed:
            orders.key_exists(aws, inputs.get("kmsKeyId"))
            forgotten_put(aws, self.TYPE, identifier, {"kmsKeyId": inputs.get("kmsKeyId")})

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        if not state.get("skipDestroy"):
            found(lambda: aws.client("logs").delete_log_group(logGroupName=identifier))
            forgotten_remove(aws, self.TYPE, identifier)

    def tag(self, aws: Account, identifier: str, state: Values, put: dict[str, str], gone: list[str]) -> None:
        if gone:
            aws.client("logs").untag_resource(resourceArn=state["arn"], tagKeys=gone)
        if put:
            aws.client("logs").tag_resource(resourceArn=state["arn"], tags=put)

    def _retention(self, aws: Account, inputs: Values) -> None:
        days = inputs.get("retentionInDays", 0)
        if days:
            aws.client("logs").put_retention_policy(logGroupName=inputs["name"], retentionInDays=days)
        else:
            found(lambda: aws.client("logs").delete_retention_policy(logGroupName=inputs["name"]))


HANDLERS: list[Handler] = [LogGroup()]
