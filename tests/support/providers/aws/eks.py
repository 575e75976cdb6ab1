"""Kubernetes clusters: moto has the cluster and its node groups, the store has the rest."""

import base64
import re
from collections.abc import Iterator
from typing import Any, ClassVar
from uuid import uuid4

from tests.support.providers.aws import orders
from tests.support.providers.aws.account import Account, Values
from tests.support.providers.aws.gaps import forgotten_get, forgotten_put, forgotten_remove
from tests.support.providers.aws.handler import Handler, StoredHandler, arguments, found, shown
from tests.support.providers.aws.kubeconfig import server_of_test
from tests.support.providers.serving import Refused

_NAME = re.compile(r"[0-9A-Za-z][A-Za-z0-9_-]{0,99}")
_AMI_TYPES = frozenset(
    {"AL2023_x86_64_STANDARD", "AL2023_ARM_64_STANDARD", "AL2023_x86_64_NVIDIA", "AL2023_ARM_64_NVIDIA"}
    | {"AL2023_x86_64_NEURON", "AL2_x86_64", "AL2_x86_64_GPU", "AL2_ARM_64", "CUSTOM"}
    | {
        "BOTTLEROCKET_x86_64",
        "BOTTLEROCKET_ARM_64",
        "BOTTLEROCKET_x86_64_NVIDIA",
        "BOTTLEROCKET_ARM_64_NVIDIA",
    }
)
_LOG_TYPES = frozenset({"api", "audit", "authenticator", "controllerManager", "scheduler"})


class Cluster(Handler):
    TYPE = "aws:eks/cluster:Cluster"
    TAGGED = True
    REQUIRED = frozenset({"name", "roleArn", "vpcConfig"})
    #: moto accepts these and does not show them, or cannot change them.
    FORGOTTEN: ClassVar[frozenset[str]] = frozenset(
        {
            "accessConfig",
            "upgradePolicy",
            "zonalShiftConfig",
            "deletionProtection",
            "version",
            "storageConfig",
        }
        | {"computeConfig", "bootstrapSelfManagedAddons", "enabledClusterLogTypes"}
    )
    OPTIONAL = FORGOTTEN | {"encryptionConfig", "kubernetesNetworkConfig", "forceUpdateVersion"}
    REPLACES = frozenset({"name", "roleArn", "bootstrapSelfManagedAddons"})
    COMPUTED = frozenset(
        {"arn", "certificateAuthority", "clusterId", "createdAt", "endpoint", "identities", "platformVersion"}
        | {"status"}
    )
    NAME = "name"
    UNORDERED = frozenset({"vpcConfig", "enabledClusterLogTypes"})

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        if not _NAME.fullmatch(inputs.get("name", "a")):
            yield "name", f"{inputs['name']}: letters, digits, hyphens and underscores, at most 100"
        if not re.fullmatch(r"1\.\d{2}", inputs.get("version", "1.33")):
            yield "version", f"{inputs['version']} is no version of Kubernetes"
        for log_type in set(inputs.get("enabledClusterLogTypes") or []) - _LOG_TYPES:
            yield "enabledClusterLogTypes", f"{log_type}: one of {', '.join(sorted(_LOG_TYPES))}"
        network = inputs.get("vpcConfig") or {}
        if network.get("endpointPublicAccess") is False and not network.get("endpointPrivateAccess"):
            yield "vpcConfig", "private or public access of the endpoint must be on"

    def replaces(self, state: Values, inputs: Values, changed: set[str]) -> set[str]:
        replaced = changed & self.REPLACES
        if "encryptionConfig" in changed and (
            state.get("encryptionConfig") or not inputs.get("encryptionConfig")
        ):
            # It can be switched on, but neither off again nor to another key.
            replaced.add("encryptionConfig")
        for name, parts in (
            ("kubernetesNetworkConfig", ("ipFamily", "serviceIpv4Cidr")),
            ("accessConfig", ("bootstrapClusterCreatorAdminPermissions",)),
        ):
            old, new = state.get(name) or {}, inputs.get(name) or {}
            if name in changed and any(part in new and old.get(part) != new[part] for part in parts):
                replaced.add(name)
        return replaced

    def recomputed(self, changed: set[str]) -> set[str]:
        return {"platformVersion"} if "version" in changed else set()

    def create(self, aws: Account, inputs: Values) -> str:
        name: str = inputs["name"]
        network = inputs["vpcConfig"]
        subnets = orders.subnets_exist(aws, network["subnetIds"], zones=2)
        orders.security_groups_exist(aws, network.get("securityGroupIds") or [])
        orders.role_exists(aws, inputs["roleArn"], service="eks.amazonaws.com")
        encryption = inputs.get("encryptionConfig")
        if encryption:
            orders.key_exists(aws, encryption["provider"]["keyArn"])
        names = {"name": "name", "roleArn": "roleArn", "version": "version"}
        given = arguments(inputs, {**names, "kubernetesNetworkConfig": "kubernetesNetworkConfig"})
        if encryption:
            given["encryptionConfig"] = [encryption]
        aws.client("eks").create_cluster(
            **given, resourcesVpcConfig=_network(network), tags=inputs["tagsAll"]
        )
        vpc_id = subnets[0]["VpcId"]
        forgotten_put(
            aws,
            self.TYPE,
            name,
            {key: inputs[key] for key in self.FORGOTTEN if key in inputs}
            | {"vpcId": vpc_id, "clusterSecurityGroupId": _cluster_security_group(aws, name, vpc_id)},
        )
        return name

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        answer = found(lambda: aws.client("eks").describe_cluster(name=identifier))
        if answer is None:
            return None
        cluster = answer["cluster"]
        kept = forgotten_get(aws, self.TYPE, identifier)
        network = cluster["resourcesVpcConfig"] | {
            key: kept[key] for key in ("vpcId", "clusterSecurityGroupId") if key in kept
        }
        names = {"name": "name", "arn": "arn", "roleArn": "roleArn", "status": "status", "version": "version"}
        endpoint, authority = _endpoint(cluster)
        return {
            **shown(cluster, {**names, "platformVersion": "platformVersion"}),
            **{key: value for key, value in kept.items() if key in self.FORGOTTEN},
            "vpcConfig": network,
            "encryptionConfig": (cluster.get("encryptionConfig") or [None])[0],
            "kubernetesNetworkConfig": cluster["kubernetesNetworkConfig"],
            "endpoint": endpoint,
            "certificateAuthority": {"data": authority},
            "clusterId": "",
            "identities": [{"oidcs": [{"issuer": cluster["identity"]["oidc"]["issuer"]}]}],
            "createdAt": cluster["createdAt"].isoformat(),
            "tagsAll": cluster.get("tags") or {},
        }

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        if "version" in changed:
            _one_minor_up(identifier, state.get("version"), inputs.get("version"))
        if "vpcConfig" in changed:
            orders.subnets_exist(aws, inputs["vpcConfig"]["subnetIds"], zones=2)
            aws.client("eks").update_cluster_config(
                name=identifier, resourcesVpcConfig=_network(inputs["vpcConfig"])
            )
        if "encryptionConfig" in changed:
            raise Refused("the stand-in switches encryption on only when the cluster is made")
        kept = {key: inputs.get(key) for key in changed & self.FORGOTTEN}
        forgotten_put(aws, self.TYPE, identifier, kept)

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        eks = aws.client("eks")
        if found(lambda: eks.describe_cluster(name=identifier)) is None:
            return
        kept = forgotten_get(aws, self.TYPE, identifier)
        if kept.get("deletionProtection"):
            raise Refused(f"InvalidRequestException: the cluster {identifier} is protected against deletion")
        orders.cluster_unused(aws, identifier)
        eks.delete_cluster(name=identifier)
        for kind in (AccessEntry.TYPE, AccessPolicyAssociation.TYPE):
            for key, entry in aws.all(kind).items():
                if entry["clusterName"] == identifier:
                    aws.remove(kind, key)
        forgotten_remove(aws, self.TYPE, identifier)
        group = kept.get("clusterSecurityGroupId")
        found(lambda: aws.client("ec2").delete_security_group(GroupId=group))

    def tag(self, aws: Account, identifier: str, state: Values, put: dict[str, str], gone: list[str]) -> None:
        eks = aws.client("eks")
        if gone:
            eks.untag_resource(resourceArn=state["arn"], tagKeys=gone)
        if put:
            eks.tag_resource(resourceArn=state["arn"], tags=put)


class NodeGroup(Handler):
    TYPE = "aws:eks/nodeGroup:NodeGroup"
    TAGGED = True
    REQUIRED = frozenset({"clusterName", "nodeGroupName", "nodeRoleArn", "subnetIds", "scalingConfig"})
    OPTIONAL = frozenset(
        {"amiType", "capacityType", "diskSize", "instanceTypes", "labels", "launchTemplate", "taints"}
        | {"releaseVersion", "version", "updateConfig", "nodeRepairConfig", "forceUpdateVersion"}
    )
    REPLACES = frozenset(
        {"amiType", "capacityType", "clusterName", "diskSize", "instanceTypes", "nodeGroupName"}
        | {"nodeRoleArn", "subnetIds"}
    )
    COMPUTED = frozenset({"arn", "resources", "status", "version", "releaseVersion"})
    NAME = "nodeGroupName"
    UNORDERED = frozenset({"subnetIds", "taints"})

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        if inputs.get("amiType", "CUSTOM") not in _AMI_TYPES:
            yield "amiType", f"{inputs['amiType']} is no AMI type of EKS"
        if inputs.get("capacityType", "ON_DEMAND") not in ("ON_DEMAND", "SPOT", "CAPACITY_BLOCK"):
            yield "capacityType", "ON_DEMAND, SPOT or CAPACITY_BLOCK"
        if inputs.get("capacityType") == "CAPACITY_BLOCK" and "launchTemplate" not in inputs:
            yield "launchTemplate", "a capacity block is named in a launch template"
        if "launchTemplate" in inputs and "diskSize" in inputs:
            yield "diskSize", "the launch template says the size of the disk"
        scaling = inputs.get("scalingConfig") or {}
        low, wanted, high = (scaling.get(key) for key in ("minSize", "desiredSize", "maxSize"))
        if None not in (low, wanted, high) and not 0 <= low <= wanted <= high:  # type: ignore[operator]
            yield "scalingConfig", f"0 <= min {low} <= desired {wanted} <= max {high} does not hold"
        if high is not None and high < 1:
            yield "scalingConfig", "the largest size is one node or more"
        for taint in inputs.get("taints") or []:
            if taint.get("effect") not in ("NO_SCHEDULE", "NO_EXECUTE", "PREFER_NO_SCHEDULE"):
                yield "taints", f"{taint.get('effect')}: NO_SCHEDULE, NO_EXECUTE or PREFER_NO_SCHEDULE"

    def replaces(self, state: Values, inputs: Values, changed: set[str]) -> set[str]:
        replaced = changed & self.REPLACES
        old, new = state.get("launchTemplate") or {}, inputs.get("launchTemplate") or {}
        if "launchTemplate" in changed and (
            bool(old) != bool(new) or any(key in new and old.get(key) != new[key] for key in ("id", "name"))
        ):
            # Only its version can be another.
            replaced.add("launchTemplate")
        return replaced

    def recomputed(self, changed: set[str]) -> set[str]:
        return {"releaseVersion"} if changed & {"version", "launchTemplate"} else set()

    def create(self, aws: Account, inputs: Values) -> str:
        cluster, name = inputs["clusterName"], inputs["nodeGroupName"]
        orders.subnets_exist(aws, inputs["subnetIds"])
        orders.role_exists(aws, inputs["nodeRoleArn"], service="ec2.amazonaws.com")
        template = inputs.get("launchTemplate")
        if template:
            orders.launch_template_exists(aws, template)
        names = {
            "clusterName": "clusterName",
            "nodeGroupName": "nodegroupName",
            "nodeRoleArn": "nodeRole",
            "subnetIds": "subnets",
            "scalingConfig": "scalingConfig",
            "amiType": "amiType",
            "capacityType": "capacityType",
            "diskSize": "diskSize",
            "instanceTypes": "instanceTypes",
            "labels": "labels",
            "taints": "taints",
            "updateConfig": "updateConfig",
            "nodeRepairConfig": "nodeRepairConfig",
        }
        given = arguments(inputs, names)
        if template:
            given["launchTemplate"] = {key: str(value) for key, value in template.items()}
        aws.client("eks").create_nodegroup(**given, tags=inputs["tagsAll"])
        version = inputs.get("version") or forgotten_get(aws, Cluster.TYPE, cluster).get("version", "1.33")
        release = inputs.get("releaseVersion") or f"{version}.0-20260101"
        forgotten_put(
            aws,
            self.TYPE,
            f"{cluster}:{name}",
            # moto neither updates versions nor tags a node group.
            {"version": version, "releaseVersion": release, "tagsAll": inputs["tagsAll"]}
            | ({"launchTemplate": template} if template else {}),
        )
        return f"{cluster}:{name}"

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        cluster, _, name = identifier.partition(":")
        eks = aws.client("eks")
        answer = found(lambda: eks.describe_nodegroup(clusterName=cluster, nodegroupName=name))
        if answer is None:
            return None
        group = answer["nodegroup"]
        names = {
            "clusterName": "clusterName",
            "nodeGroupName": "nodegroupName",
            "nodeRoleArn": "nodeRole",
            "subnetIds": "subnets",
            "scalingConfig": "scalingConfig",
            "amiType": "amiType",
            "capacityType": "capacityType",
            "diskSize": "diskSize",
            "instanceTypes": "instanceTypes",
            "arn": "nodegroupArn",
            "status": "status",
        }
        groups = [{"name": each["name"]} for each in group["resources"].get("autoScalingGroups", [])]
        return {
            **shown(group, names),
            **forgotten_get(aws, self.TYPE, identifier),
            "labels": group.get("labels") or {},
            "taints": group.get("taints") or [],
            "resources": [{"autoscalingGroups": groups}],
        }

    def alike(self, name: str, given: Any, seen: Any) -> bool:
        if name == "labels":
            return bool((given or {}) == (seen or {}))
        return super().alike(name, given, seen)

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        cluster, _, name = identifier.partition(":")
        given: Values = arguments(
            {key: inputs.get(key) for key in changed},
            {
                "scalingConfig": "scalingConfig",
                "updateConfig": "updateConfig",
                "nodeRepairConfig": "nodeRepairConfig",
            },
        )
        if "labels" in changed:
            old, new = state.get("labels") or {}, inputs.get("labels") or {}
            given["labels"] = {"addOrUpdateLabels": new, "removeLabels": sorted(old.keys() - new.keys())}
        if "taints" in changed:
            old, new = state.get("taints") or [], inputs.get("taints") or []
            removed = [taint for taint in old if taint not in new]
            given["taints"] = {"addOrUpdateTaints": new, "removeTaints": removed}
            given["taints"] = {key: value for key, value in given["taints"].items() if value}
        if given:
            aws.client("eks").update_nodegroup_config(clusterName=cluster, nodegroupName=name, **given)
        kept = {key: inputs.get(key) for key in changed & {"version", "releaseVersion", "launchTemplate"}}
        if kept.get("launchTemplate"):
            orders.launch_template_exists(aws, kept["launchTemplate"])
        if kept.get("version"):
            _one_minor_up(identifier, state.get("version"), kept["version"])
            kept.setdefault("releaseVersion", f"{kept['version']}.0-20260101")
        forgotten_put(aws, self.TYPE, identifier, kept)

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        cluster, _, name = identifier.partition(":")
        found(lambda: aws.client("eks").delete_nodegroup(clusterName=cluster, nodegroupName=name))
        forgotten_remove(aws, self.TYPE, identifier)

    def tag(self, aws: Account, identifier: str, state: Values, put: dict[str, str], gone: list[str]) -> None:
        forgotten_put(aws, self.TYPE, identifier, {"tagsAll": put})


class ClusterPart(StoredHandler):
    """Something that belongs to a cluster, which must be there."""

    def before_create(self, aws: Account, inputs: Values) -> None:
        name = inputs["clusterName"]
        if found(lambda: aws.client("eks").describe_cluster(name=name)) is None:
            raise Refused(f"ResourceNotFoundException: no cluster found for name: {name}")


class Addon(ClusterPart):
    TYPE = "aws:eks/addon:Addon"
    TAGGED = True
    REQUIRED = frozenset({"clusterName", "addonName"})
    OPTIONAL = frozenset(
        {"addonVersion", "configurationValues", "resolveConflictsOnCreate", "resolveConflictsOnUpdate"}
        | {"serviceAccountRoleArn", "podIdentityAssociations", "preserve"}
    )
    REPLACES = frozenset({"clusterName", "addonName"})
    COMPUTED = frozenset({"arn", "createdAt", "modifiedAt"})
    NAME = "addonName"

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        version = inputs.get("addonVersion")
        if version is not None and not re.fullmatch(r"v\d+\.\d+\.\d+(-eksbuild\.\d+)?", version):
            yield "addonVersion", f"{version}: as v1.2.3-eksbuild.4"

    def identify(self, aws: Account, inputs: Values) -> str:
        return f"{inputs['clusterName']}:{inputs['addonName']}"

    def computed(self, aws: Account, identifier: str, inputs: Values) -> Values:
        path = identifier.replace(":", "/")
        arn = aws.arn("eks", f"addon/{path}/{uuid4()}")
        return {"arn": arn, "createdAt": "2026-01-01T00:00:00Z", "modifiedAt": "2026-01-01T00:00:00Z"}


class AccessEntry(ClusterPart):
    TYPE = "aws:eks/accessEntry:AccessEntry"
    TAGGED = True
    REQUIRED = frozenset({"clusterName", "principalArn"})
    OPTIONAL = frozenset({"kubernetesGroups", "type", "userName"})
    REPLACES = frozenset({"clusterName", "principalArn", "type"})
    COMPUTED = frozenset({"accessEntryArn", "createdAt", "modifiedAt", "userName"})
    NAME = "principalArn"
    UNORDERED = frozenset({"kubernetesGroups"})

    def before_create(self, aws: Account, inputs: Values) -> None:
        super().before_create(aws, inputs)
        mode = forgotten_get(aws, Cluster.TYPE, inputs["clusterName"]).get("accessConfig") or {}
        if mode.get("authenticationMode", "CONFIG_MAP") == "CONFIG_MAP":
            raise Refused(
                "InvalidRequestException: the cluster's authentication mode must be API for access entries"
            )

    def identify(self, aws: Account, inputs: Values) -> str:
        return f"{inputs['clusterName']}:{inputs['principalArn']}"

    def computed(self, aws: Account, identifier: str, inputs: Values) -> Values:
        cluster = inputs["clusterName"]
        return {
            "accessEntryArn": aws.arn("eks", f"access-entry/{cluster}/{uuid4()}"),
            "userName": inputs.get("userName", inputs["principalArn"]),
            "type": inputs.get("type", "STANDARD"),
            "createdAt": "2026-01-01T00:00:00Z",
            "modifiedAt": "2026-01-01T00:00:00Z",
        }


class AccessPolicyAssociation(ClusterPart):
    TYPE = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"
    REQUIRED = frozenset({"clusterName", "principalArn", "policyArn", "accessScope"})
    REPLACES = REQUIRED
    COMPUTED = frozenset({"associatedAt", "modifiedAt"})
    NAME = "policyArn"

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        policy = inputs.get("policyArn", "arn:aws:eks::aws:cluster-access-policy/")
        if ":eks::aws:cluster-access-policy/" not in policy:
            yield "policyArn", f"{policy} is no access policy of EKS"
        scope = inputs.get("accessScope", {"type": "cluster"})
        if scope.get("type") not in ("cluster", "namespace"):
            yield "accessScope", "its type is cluster or namespace"

    def before_create(self, aws: Account, inputs: Values) -> None:
        super().before_create(aws, inputs)
        entry = f"{inputs['clusterName']}:{inputs['principalArn']}"
        if aws.get(AccessEntry.TYPE, entry) is None:
            raise Refused(f"ResourceNotFoundException: no access entry for {inputs['principalArn']}")

    def identify(self, aws: Account, inputs: Values) -> str:
        return f"{inputs['clusterName']}#{inputs['principalArn']}#{inputs['policyArn']}"

    def computed(self, aws: Account, identifier: str, inputs: Values) -> Values:
        return {"associatedAt": "2026-01-01T00:00:00Z", "modifiedAt": "2026-01-01T00:00:00Z"}


class PodIdentityAssociation(ClusterPart):
    TYPE = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
    TAGGED = True
    REQUIRED = frozenset({"clusterName", "namespace", "serviceAccount", "roleArn"})
    OPTIONAL = frozenset({"disableSessionTags", "targetRoleArn"})
    REPLACES = frozenset({"clusterName", "namespace", "serviceAccount"})
    COMPUTED = frozenset({"associationArn", "associationId", "externalId"})
    # A service account has one association.
    NAME = "serviceAccount"

    def before_create(self, aws: Account, inputs: Values) -> None:
        super().before_create(aws, inputs)
        orders.role_exists(aws, inputs["roleArn"], service="pods.eks.amazonaws.com")
        place = ("clusterName", "namespace", "serviceAccount")
        for kept in aws.all(self.TYPE).values():
            if all(kept[key] == inputs[key] for key in place):
                raise Refused(
                    f"ResourceInUseException: {inputs['namespace']}/{inputs['serviceAccount']} has an association"
                )

    def identify(self, aws: Account, inputs: Values) -> str:
        return f"a-{uuid4().hex[:17]}"

    def computed(self, aws: Account, identifier: str, inputs: Values) -> Values:
        arn = aws.arn("eks", f"podidentityassociation/{inputs['clusterName']}/{identifier}")
        return {"associationArn": arn, "associationId": identifier, "externalId": ""}


def _network(config: Values) -> Values:
    """What goes into resourcesVpcConfig; the rest of it is AWS's to say."""
    names = (
        "subnetIds",
        "securityGroupIds",
        "endpointPublicAccess",
        "endpointPrivateAccess",
        "publicAccessCidrs",
    )
    return arguments(config, {name: name for name in names})


def _cluster_security_group(aws: Account, name: str, vpc_id: str) -> str:
    """The group that EKS makes for each cluster; moto names one that does not exist."""
    answer = aws.client("ec2").create_security_group(
        GroupName=f"eks-cluster-sg-{name}-{uuid4().hex[:8]}",
        Description="EKS created security group applied to ENI that is attached to EKS Control Plane",
        VpcId=vpc_id,
        TagSpecifications=[
            {
                "ResourceType": "security-group",
                "Tags": [{"Key": f"kubernetes.io/cluster/{name}", "Value": "owned"}],
            }
        ],
    )
    return str(answer["GroupId"])


def _endpoint(cluster: Values) -> tuple[str, str]:
    """Address and certificate authority (base64)."""
    server = server_of_test()
    if server is not None:
        return server
    authority = cluster["certificateAuthority"]["data"]
    return cluster["endpoint"], base64.b64encode(authority.encode()).decode()


def _one_minor_up(name: str, old: str | None, new: str | None) -> None:
    if old and new:
        before, after = (int(version.split(".")[1]) for version in (old, new))
        if not before <= after <= before + 1:
            raise Refused(
                f"InvalidParameterException: {name} can go from {old} to the next minor version only"
            )


HANDLERS: list[Handler] = [
    Cluster(),
    NodeGroup(),
    Addon(),
    AccessEntry(),
    AccessPolicyAssociation(),
    PodIdentityAssociation(),
]
