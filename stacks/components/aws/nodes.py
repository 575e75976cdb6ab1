"""The tenant's machines: a few for what needs no GPU, and a group of its own with GPUs."""

from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

from contracts.gpus import GPUS_OF_INSTANCE
from contracts.stack import GpuSize
from stacks.components.aws.cluster import AwsCluster
from stacks.components.aws.network import AwsNetwork
from stacks.components.aws.role import service_role
from stacks.components.aws.site import AwsSite
from stacks.components.cluster.site import GPU_RESOURCE, TENANT_LABEL

SYSTEM_NODES, SYSTEM_NODES_MOST = 2, 4
_SYSTEM_DISK_GB, _GPU_DISK_GB = 50, 200
_NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy")
_CAPACITY = {"on_demand": "ON_DEMAND", "spot": "SPOT", "capacity_block": "CAPACITY_BLOCK"}


def gpu_nodes(size: GpuSize) -> int:
    """Whole machines that hold the GPUs asked for."""
    return size.count // GPUS_OF_INSTANCE[size.instance_type] if size.count else 0


class AwsNodes(pulumi.ComponentResource):
    """`ready` is every group: what runs in the cluster waits for them, and goes before them."""

    ready: list[pulumi.Resource]

    def __init__(
        self,
        name: str,
        size: GpuSize,
        site: AwsSite,
        network: AwsNetwork,
        cluster: AwsCluster,
        *,
        key_arn: pulumi.Output[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("freehold:aws:Nodes", name, None, opts)
        self._name, self._site, self._network, self._cluster = name, site, network, cluster
        self._key_arn = key_arn
        role = service_role(f"{name}-role", site, self, part="nodes", service="ec2.amazonaws.com")
        attached: list[pulumi.Resource] = [
            aws.iam.RolePolicyAttachment(
                f"{name}-{policy}",
                role=role.name,
                policy_arn=site.managed_policy(policy),
                opts=site.options(self),
            )
            for policy in _NODE_POLICIES
        ]
        self._role_arn = role.arn
        self.ready = [self._system(attached)]
        if size.count:
            self.ready.append(self._gpus(size, attached))
        self.register_outputs({})

    def _system(self, attached: Sequence[pulumi.Resource]) -> pulumi.Resource:
        kind = self._site.place.system_instance_type
        return self._group(
            "system",
            attached,
            template=self._template("system", _SYSTEM_DISK_GB, {}),
            ami_type="AL2023_ARM_64_STANDARD" if _is_arm(kind) else "AL2023_x86_64_STANDARD",
            instance_types=[kind],
            capacity_type="ON_DEMAND",
            scaling_config={
                "min_size": SYSTEM_NODES,
                "desired_size": SYSTEM_NODES,
                "max_size": SYSTEM_NODES_MOST,
            },
            labels={TENANT_LABEL: self._site.slug, "freehold.dev/pool": "system"},
        )

    def _gpus(self, size: GpuSize, attached: Sequence[pulumi.Resource]) -> pulumi.Resource:
        nodes, site = gpu_nodes(size), self._site
        market: dict[str, Any] = {}
        if size.capacity_reservation_id is not None:
            market["capacity_reservation_specification"] = {
                "capacity_reservation_preference": "capacity-reservations-only",
                "capacity_reservation_target": {"capacity_reservation_id": size.capacity_reservation_id},
            }
        kinds: list[str] | None = [size.instance_type]
        if size.capacity == "capacity_block":
            # EKS wants a block's machine type in the template, and then nowhere else.
            market |= {
                "instance_market_options": {"market_type": "capacity-block"},
                "instance_type": size.instance_type,
            }
            kinds = None
        return self._group(
            "gpu",
            attached,
            template=self._template("gpu", _GPU_DISK_GB, market),
            ami_type="AL2023_x86_64_NVIDIA",
            instance_types=kinds,
            capacity_type=_CAPACITY[size.capacity],
            # The most is what the plan pays for; nothing at all while suspended.
            scaling_config={
                "min_size": 0,
                "desired_size": 0 if site.suspended else nodes,
                "max_size": nodes,
            },
            labels={
                TENANT_LABEL: site.slug,
                "freehold.dev/pool": "gpu",
                "freehold.dev/instance-type": size.instance_type,
            },
            taints=[
                {"key": TENANT_LABEL, "value": site.slug, "effect": "NO_SCHEDULE"},
                {"key": GPU_RESOURCE, "value": "present", "effect": "NO_SCHEDULE"},
            ],
        )

    def _group(
        self,
        pool: str,
        attached: Sequence[pulumi.Resource],
        *,
        template: "aws.ec2.LaunchTemplate",
        **more: Any,
    ) -> pulumi.Resource:
        site = self._site
        group: pulumi.Resource = aws.eks.NodeGroup(
            f"{self._name}-{pool}",
            node_group_name=site.name(pool),
            cluster_name=self._cluster.name,
            node_role_arn=self._role_arn,
            subnet_ids=self._network.subnet_ids,
            # By its name, which a plan knows: its disks have a price.
            launch_template={"name": template.name, "version": template.latest_version.apply(str)},
            update_config={"max_unavailable": 1},
            tags=site.tags(site.name(pool)),
            opts=site.options(
                self,
                [*self._network.ready, *self._cluster.ready, *attached],
                # One name, one group: and the GPUs of the old must be free before the new can have them.
                delete_before_replace=True,
            ),
            **more,
        )
        return group

    def _template(self, pool: str, disk_gb: int, market: dict[str, Any]) -> "aws.ec2.LaunchTemplate":
        site = self._site
        name = site.name(pool)
        return aws.ec2.LaunchTemplate(
            f"{self._name}-{pool}-template",
            name=name,
            update_default_version=True,
            # Pods must not become the machine they run on: no hop to its metadata, and only with a token.
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                "http_put_response_hop_limit": 1,
            },
            block_device_mappings=[
                {
                    "device_name": "/dev/xvda",
                    "ebs": {
                        "volume_size": disk_gb,
                        "volume_type": "gp3",
                        "encrypted": "true",
                        "kms_key_id": self._key_arn,
                        "delete_on_termination": "true",
                    },
                }
            ],
            tag_specifications=[
                {"resource_type": kind, "tags": site.tags(name)}
                for kind in ("instance", "volume", "network-interface")
            ],
            tags=site.tags(name),
            opts=site.options(self),
            **market,
        )


def _is_arm(instance_type: str) -> bool:
    """Graviton families end their generation in a `g`: m7g, c6gn, t4g."""
    family = instance_type.partition(".")[0]
    return "g" in family.lstrip("abcdefghijklmnopqrstuvwxyz").lstrip("0123456789")
