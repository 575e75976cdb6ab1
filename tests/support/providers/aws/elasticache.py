"""Caches. Of this service moto has replication groups; of the rest it lacks the calls to change or delete."""

from collections.abc import Iterator

from tests.support.providers.aws import orders
from tests.support.providers.aws.account import Account, Values
from tests.support.providers.aws.gaps import forgotten_get, forgotten_put, forgotten_remove
from tests.support.providers.aws.handler import (
    Handler,
    StoredHandler,
    arguments,
    found,
    pairs,
    shown,
    truth,
    unpaired,
)
from tests.support.providers.serving import Refused

_DEFAULT_PORT = 6379


class NamedPart(StoredHandler):
    """Its id is its name."""

    TAGGED = True
    RESOURCE: str
    """How its ARN calls it."""

    def identify(self, aws: Account, inputs: Values) -> str:
        return str(inputs[str(self.NAME)])

    def computed(self, aws: Account, identifier: str, inputs: Values) -> Values:
        return {"arn": aws.arn("elasticache", f"{self.RESOURCE}:{identifier}")}


class SubnetGroup(NamedPart):
    TYPE = "aws:elasticache/subnetGroup:SubnetGroup"
    RESOURCE = "subnetgroup"
    REQUIRED = frozenset({"name", "subnetIds"})
    OPTIONAL = frozenset({"description"})
    REPLACES = frozenset({"name"})
    COMPUTED = frozenset({"arn", "vpcId"})
    NAME = "name"
    UNORDERED = frozenset({"subnetIds"})

    def before_create(self, aws: Account, inputs: Values) -> None:
        orders.subnets_exist(aws, inputs["subnetIds"])

    def computed(self, aws: Account, identifier: str, inputs: Values) -> Values:
        subnets = orders.subnets_exist(aws, inputs["subnetIds"])
        return {**super().computed(aws, identifier, inputs), "vpcId": subnets[0]["VpcId"]}

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        orders.subnets_exist(aws, inputs["subnetIds"])
        super().update(aws, identifier, state, inputs, changed)

    def before_delete(self, aws: Account, identifier: str, kept: Values) -> None:
        orders.cache_part_unused(aws, "subnetGroupName", identifier, "CacheSubnetGroupInUse")


class ParameterGroup(NamedPart):
    TYPE = "aws:elasticache/parameterGroup:ParameterGroup"
    RESOURCE = "parametergroup"
    REQUIRED = frozenset({"name", "family"})
    OPTIONAL = frozenset({"description", "parameters"})
    REPLACES = frozenset({"name", "family", "description"})
    COMPUTED = frozenset({"arn"})
    NAME = "name"
    UNORDERED = frozenset({"parameters"})

    def before_delete(self, aws: Account, identifier: str, kept: Values) -> None:
        orders.cache_part_unused(aws, "parameterGroupName", identifier, "InvalidCacheParameterGroupState")


class User(NamedPart):
    TYPE = "aws:elasticache/user:User"
    RESOURCE = "user"
    REQUIRED = frozenset({"userId", "userName", "engine", "accessString"})
    OPTIONAL = frozenset({"passwords", "authenticationMode", "noPasswordRequired"})
    REPLACES = frozenset({"userId", "userName"})
    COMPUTED = frozenset({"arn"})
    SECRETS = frozenset({"passwords"})
    NAME = "userId"

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        mode = inputs.get("authenticationMode") or {}
        ways = [bool(inputs.get("passwords")), bool(inputs.get("noPasswordRequired")), bool(mode)]
        if sum(ways) > 1:
            yield "passwords", "one of passwords, noPasswordRequired and authenticationMode"
        passwords = inputs.get("passwords") or mode.get("passwords") or []
        if len(passwords) > 2:
            yield "passwords", "at most two passwords"
        if any(isinstance(each, str) and not 16 <= len(each) <= 128 for each in passwords):
            yield "passwords", "a password has 16 to 128 characters"


class UserGroup(NamedPart):
    TYPE = "aws:elasticache/userGroup:UserGroup"
    RESOURCE = "usergroup"
    REQUIRED = frozenset({"userGroupId", "engine"})
    OPTIONAL = frozenset({"userIds"})
    REPLACES = frozenset({"userGroupId"})
    COMPUTED = frozenset({"arn"})
    NAME = "userGroupId"
    UNORDERED = frozenset({"userIds"})

    def before_create(self, aws: Account, inputs: Values) -> None:
        users = aws.all(User.TYPE)
        wanted = inputs.get("userIds") or []
        for user_id in wanted:
            if user_id not in users and user_id != "default":
                raise Refused(f"UserNotFound: the user {user_id} does not exist")
            if users.get(user_id, inputs)["engine"].lower() != inputs["engine"].lower():
                raise Refused(f"InvalidParameterCombination: the user {user_id} is of another engine")
        named = [users.get(user_id, {"userName": "default"})["userName"] for user_id in wanted]
        # Valkey is content without a default user.
        if inputs["engine"].lower() == "redis" and "default" not in named:
            raise Refused("DefaultUserRequired: a user group of Redis needs a user named default")

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        self.before_create(aws, inputs)
        super().update(aws, identifier, state, inputs, changed)

    def before_delete(self, aws: Account, identifier: str, kept: Values) -> None:
        orders.cache_part_unused(aws, "userGroupIds", identifier, "InvalidUserGroupState")


class ReplicationGroup(Handler):
    TYPE = "aws:elasticache/replicationGroup:ReplicationGroup"
    TAGGED = True
    REQUIRED = frozenset({"replicationGroupId", "description"})
    #: Shown by moto as AWS does.
    _SHOWN = {
        "replicationGroupId": "ReplicationGroupId",
        "description": "Description",
        "nodeType": "CacheNodeType",
        "engine": "Engine",
        "atRestEncryptionEnabled": "AtRestEncryptionEnabled",
        "transitEncryptionEnabled": "TransitEncryptionEnabled",
        "snapshotRetentionLimit": "SnapshotRetentionLimit",
    }
    #: Accepted by moto and not shown, or not changed: kept by the stand-in.
    _KEPT = {
        "autoMinorVersionUpgrade": "AutoMinorVersionUpgrade",
        "engineVersion": "EngineVersion",
        "kmsKeyId": "KmsKeyId",
        "maintenanceWindow": "PreferredMaintenanceWindow",
        "numCacheClusters": "NumCacheClusters",
        "numNodeGroups": "NumNodeGroups",
        "replicasPerNodeGroup": "ReplicasPerNodeGroup",
        "parameterGroupName": "CacheParameterGroupName",
        "port": "Port",
        "preferredCacheClusterAzs": "PreferredCacheClusterAZs",
        "securityGroupIds": "SecurityGroupIds",
        "snapshotWindow": "SnapshotWindow",
        "subnetGroupName": "CacheSubnetGroupName",
        "transitEncryptionMode": "TransitEncryptionMode",
        "userGroupIds": "UserGroupIds",
        "clusterMode": "ClusterMode",
        "networkType": "NetworkType",
    }
    _SWITCHES = {"automaticFailoverEnabled": "AutomaticFailoverEnabled", "multiAzEnabled": "MultiAZEnabled"}
    OPTIONAL = frozenset(
        {*_SHOWN, *_KEPT, *_SWITCHES, "authToken", "authTokenUpdateStrategy", "applyImmediately"}
        | {"finalSnapshotIdentifier", "logDeliveryConfigurations"}
    ) - {"replicationGroupId", "description"}
    REPLACES = frozenset(
        {"replicationGroupId", "atRestEncryptionEnabled", "kmsKeyId", "port", "subnetGroupName"}
        | {"networkType"}
    )
    COMPUTED = frozenset(
        {"arn", "primaryEndpointAddress", "readerEndpointAddress", "memberClusters", "clusterEnabled"}
        | {"configurationEndpointAddress", "engineVersionActual"}
    )
    SECRETS = frozenset({"authToken"})
    NAME = "replicationGroupId"
    UNORDERED = frozenset({"securityGroupIds", "userGroupIds"})

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        nodes = inputs.get("numCacheClusters", 2)
        if inputs.get("automaticFailoverEnabled") and nodes < 2 and not inputs.get("numNodeGroups"):
            yield "automaticFailoverEnabled", "needs two nodes or more"
        if inputs.get("multiAzEnabled") and inputs.get("automaticFailoverEnabled") is False:
            yield "multiAzEnabled", "needs automaticFailoverEnabled"
        if inputs.get("authToken") and inputs.get("userGroupIds"):
            yield "authToken", "not together with userGroupIds"
        for name in ("authToken", "userGroupIds"):
            if inputs.get(name) and inputs.get("transitEncryptionEnabled") is False:
                yield name, "needs transitEncryptionEnabled"
        token = inputs.get("authToken")
        if token and not 16 <= len(token) <= 128:
            yield "authToken", "16 to 128 characters"
        if inputs.get("kmsKeyId") and inputs.get("atRestEncryptionEnabled") is False:
            yield "kmsKeyId", "a key needs atRestEncryptionEnabled"
        if not str(inputs.get("nodeType", "cache.x.y")).startswith("cache."):
            yield "nodeType", f"{inputs['nodeType']}: types of caches begin with cache."

    def replaces(self, state: Values, inputs: Values, changed: set[str]) -> set[str]:
        replaced = changed & self.REPLACES
        old, new = _version(state), _version(inputs)
        if "engineVersion" in changed and new < old:
            replaced.add("engineVersion")
        if "engine" in changed and state.get("engine") == "valkey":
            # Redis becomes Valkey in place; there is no way back.
            replaced.add("engine")
        if "transitEncryptionEnabled" in changed and state.get("engine") != "valkey" and old < (7, 0, 5):
            replaced.add("transitEncryptionEnabled")
        return replaced

    def recomputed(self, changed: set[str]) -> set[str]:
        unknown = {"engineVersionActual"} if "engineVersion" in changed else set()
        sizes = {"numCacheClusters", "numNodeGroups", "replicasPerNodeGroup"}
        return unknown | ({"memberClusters"} if changed & sizes else set())

    def alike(self, name: str, given: object, seen: object) -> bool:
        if name == "engineVersion":
            return seen == given or str(seen).startswith(f"{given}.")
        return super().alike(name, given, seen)

    def create(self, aws: Account, inputs: Values) -> str:
        self._needs(aws, inputs)
        name: str = inputs["replicationGroupId"]
        names = self._SHOWN | self._KEPT | self._SWITCHES | {"authToken": "AuthToken"}
        names["description"] = "ReplicationGroupDescription"
        given = {api: truth(value) for api, value in arguments(inputs, names).items()}
        aws.client("elasticache").create_replication_group(**given, Tags=pairs(inputs["tagsAll"]))
        forgotten_put(aws, self.TYPE, name, {key: inputs[key] for key in self._KEPT if key in inputs})
        return name

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        cache = aws.client("elasticache")
        answer = found(lambda: cache.describe_replication_groups(ReplicationGroupId=identifier))
        if answer is None or not answer["ReplicationGroups"]:
            return None
        group = answer["ReplicationGroups"][0]
        kept = forgotten_get(aws, self.TYPE, identifier)
        first = (group.get("NodeGroups") or [{}])[0]
        tags = cache.list_tags_for_resource(ResourceName=group["ARN"])["TagList"]
        count = kept.get("numCacheClusters") or len(group.get("MemberClusters", []))
        return {
            **shown(group, self._SHOWN),
            **kept,
            "automaticFailoverEnabled": group.get("AutomaticFailover") == "enabled",
            "multiAzEnabled": group.get("MultiAZ") == "enabled",
            "arn": group["ARN"],
            "clusterEnabled": bool(group.get("ClusterEnabled")),
            "primaryEndpointAddress": first.get("PrimaryEndpoint", {}).get("Address", ""),
            "readerEndpointAddress": first.get("ReaderEndpoint", {}).get("Address", ""),
            "configurationEndpointAddress": group.get("ConfigurationEndpoint", {}).get("Address", ""),
            # moto has one member whatever was asked for.
            "memberClusters": [f"{identifier}-{number:03d}" for number in range(1, count + 1)],
            "numCacheClusters": count,
            "engineVersionActual": kept.get("engineVersion", ""),
            "port": kept.get("port", _DEFAULT_PORT),
            "tagsAll": unpaired(tags),
        }

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        self._needs(aws, inputs)
        names = {
            "description": "ReplicationGroupDescription",
            "nodeType": "CacheNodeType",
            "engine": "Engine",
            "snapshotRetentionLimit": "SnapshotRetentionLimit",
            **self._SWITCHES,
        }
        given = arguments({name: inputs.get(name) for name in changed}, names)
        if given:
            aws.client("elasticache").modify_replication_group(
                ReplicationGroupId=identifier, ApplyImmediately=True, **given
            )
        # moto's modify knows those six only.
        kept = {name: inputs.get(name) for name in changed & self._KEPT.keys()}
        forgotten_put(aws, self.TYPE, identifier, kept)

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        cache = aws.client("elasticache")
        snapshot = arguments(state, {"finalSnapshotIdentifier": "FinalSnapshotIdentifier"})
        found(lambda: cache.delete_replication_group(ReplicationGroupId=identifier, **snapshot))
        forgotten_remove(aws, self.TYPE, identifier)

    def tag(self, aws: Account, identifier: str, state: Values, put: dict[str, str], gone: list[str]) -> None:
        cache = aws.client("elasticache")
        if gone:
            cache.remove_tags_from_resource(ResourceName=state["arn"], TagKeys=gone)
        if put:
            cache.add_tags_to_resource(ResourceName=state["arn"], Tags=pairs(put))

    def _needs(self, aws: Account, inputs: Values) -> None:
        orders.security_groups_exist(aws, inputs.get("securityGroupIds", []))
        orders.key_exists(aws, inputs.get("kmsKeyId"))
        subnet_group = inputs.get("subnetGroupName")
        if subnet_group and subnet_group not in aws.all(SubnetGroup.TYPE):
            raise Refused(f"CacheSubnetGroupNotFoundFault: {subnet_group} does not exist")
        parameter_group = inputs.get("parameterGroupName", "default.")
        if not parameter_group.startswith("default.") and parameter_group not in aws.all(ParameterGroup.TYPE):
            raise Refused(f"CacheParameterGroupNotFound: {parameter_group} does not exist")
        for user_group in inputs.get("userGroupIds") or []:
            if user_group not in aws.all(UserGroup.TYPE):
                raise Refused(f"UserGroupNotFound: {user_group} does not exist")


def _version(values: Values) -> tuple[int, ...]:
    return tuple(int(part) for part in str(values.get("engineVersion") or 0).split(".") if part.isdigit())


HANDLERS: list[Handler] = [SubnetGroup(), ParameterGroup(), User(), UserGroup(), ReplicationGroup()]
