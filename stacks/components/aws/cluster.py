"""The tenant's EKS cluster: no public address, access by API entries, its Secrets under the tenant's key."""

import json
from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

from stacks.components.aws.network import AwsNetwork
from stacks.components.aws.role import ASSUME_AND_TAG, service_role
from stacks.components.aws.site import AwsSite

LOG_DAYS = 90
LOG_TYPES = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
#: Add-ons that machines need to join at all; the others need machines to run on.
_BEFORE_NODES = ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")
AFTER_NODES = ("coredns", "aws-ebs-csi-driver", "metrics-server")
#: The default is to ignore network policies.
_SETTINGS = {"vpc-cni": {"enableNetworkPolicy": "true"}}


class AwsCluster(pulumi.ComponentResource):
    """`ready` is what machines wait for; `access` is what whoever speaks to the API server waits for."""

    name: pulumi.Output[str]
    security_group_id: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    ready: list[pulumi.Resource]
    access: list[pulumi.Resource]

    def __init__(
        self,
        name: str,
        site: AwsSite,
        network: AwsNetwork,
        *,
        key_arn: pulumi.Output[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("freehold:aws:Cluster", name, None, opts)
        self._name, self._site = name, site
        role = service_role(
            f"{name}-role", site, self, part="cluster", service="eks.amazonaws.com", actions=ASSUME_AND_TAG
        )
        attached = aws.iam.RolePolicyAttachment(
            f"{name}-policy",
            role=role.name,
            policy_arn=site.managed_policy("AmazonEKSClusterPolicy"),
            opts=site.options(self),
        )
        # EKS would make the group itself, without an end to what it keeps, a key, or our tags.
        logs = aws.cloudwatch.LogGroup(
            f"{name}-logs",
            name=f"/aws/eks/{site.name()}/cluster",
            retention_in_days=LOG_DAYS,
            kms_key_id=key_arn,
            tags=site.tags(site.name("cluster-logs")),
            opts=site.options(self),
        )
        door = self._door(network)
        cluster = aws.eks.Cluster(
            name,
            name=site.name(),
            role_arn=role.arn,
            version=site.place.kubernetes_version,
            # Extended support costs six times as much: an upgrade is planned before it begins.
            upgrade_policy={"support_type": "STANDARD"},
            access_config={
                "authentication_mode": "API",
                "bootstrap_cluster_creator_admin_permissions": False,
            },
            bootstrap_self_managed_addons=False,
            deletion_protection=not site.teardown,
            enabled_cluster_log_types=LOG_TYPES,
            encryption_config={"provider": {"key_arn": key_arn}, "resources": ["secrets"]},
            vpc_config={
                "subnet_ids": network.subnet_ids,
                "security_group_ids": [door],
                "endpoint_private_access": True,
                "endpoint_public_access": False,
            },
            tags=site.tags(site.name()),
            opts=site.options(self, [attached, logs]),
        )
        self.name = cluster.name
        self.security_group_id = cluster.vpc_config.cluster_security_group_id
        self.access = self._access(cluster)
        self.kubeconfig = pulumi.Output.all(
            cluster.name, cluster.endpoint, cluster.certificate_authority
        ).apply(lambda known: _kubeconfig(site, known[0], known[1], known[2]))
        self.ready = [*self.access, *self.addons(_BEFORE_NODES, [])]
        self.register_outputs({"name": self.name})

    def addons(
        self, names: Sequence[str], depends_on: Sequence[pulumi.Resource], *, parent: Any = None
    ) -> list[pulumi.Resource]:
        """EKS add-ons in the placement's versions."""
        site = self._site
        return [
            aws.eks.Addon(
                f"{self._name}-{addon}",
                cluster_name=self.name,
                addon_name=addon,
                addon_version=site.place.addons[addon],
                configuration_values=json.dumps(_SETTINGS[addon]) if addon in _SETTINGS else None,
                resolve_conflicts_on_create="OVERWRITE",
                resolve_conflicts_on_update="OVERWRITE",
                tags=site.tags(site.name(addon)),
                opts=site.options(parent or self, depends_on),
            )
            for addon in names
        ]

    def _door(self, network: AwsNetwork) -> pulumi.Output[str]:
        """Who may speak to the API server beside the machines: the control plane's networks."""
        site = self._site
        group = aws.ec2.SecurityGroup(
            f"{self._name}-door",
            name=site.name("door"),
            description="The control plane to the cluster's API server",
            vpc_id=network.vpc_id,
            tags=site.tags(site.name("door")),
            opts=site.options(self),
        )
        for index, cidr in enumerate(site.place.cluster.control_plane_cidrs):
            aws.vpc.SecurityGroupIngressRule(
                f"{self._name}-door-{index}",
                security_group_id=group.id,
                cidr_ipv4=cidr,
                ip_protocol="tcp",
                from_port=443,
                to_port=443,
                tags=site.tags(site.name("door", str(index))),
                opts=site.options(self),
            )
        identity: pulumi.Output[str] = group.id
        return identity

    def _access(self, cluster: "aws.eks.Cluster") -> list[pulumi.Resource]:
        site, made = self._site, list[pulumi.Resource]()
        for index, principal in enumerate(site.place.administrators):
            entry = aws.eks.AccessEntry(
                f"{self._name}-admin-{index}",
                cluster_name=cluster.name,
                principal_arn=principal,
                type="STANDARD",
                tags=site.tags(site.name("admin", str(index))),
                opts=site.options(self),
            )
            granted = aws.eks.AccessPolicyAssociation(
                f"{self._name}-admin-{index}-policy",
                cluster_name=cluster.name,
                principal_arn=principal,
                policy_arn=f"arn:{site.partition}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
                access_scope={"type": "cluster"},
                opts=site.options(self, [entry]),
            )
            made += [entry, granted]
        return made


def _kubeconfig(site: AwsSite, name: str, endpoint: str, authority: Any) -> str:
    """With a command for the token, never a token: one in the state would have expired when it is needed."""
    argv = ["eks", "get-token", "--cluster-name", name, "--region", site.region, "--output", "json"]
    if site.place.role_arn is not None:
        argv += ["--role-arn", site.place.role_arn]
    data = authority["data"] if isinstance(authority, dict) else authority.data
    context = {"cluster": name, "user": name}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": endpoint, "certificate-authority-data": data}}],
            "contexts": [{"name": name, "context": context}],
            "users": [
                {
                    "name": name,
                    "user": {
                        "exec": {
                            "apiVersion": "client.authentication.k8s.io/v1beta1",
                            "command": "aws",
                            "args": argv,
                            "interactiveMode": "Never",
                        }
                    },
                }
            ],
        }
    )
