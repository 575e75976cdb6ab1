"""What an AWS tenant's stack costs by the shipped tables, and what of it nobody can say beforehand."""

from typing import Any

import pytest

from contracts.planned import UNKNOWN, CostEstimate, PlannedResource
from stacks.policy.rules.gpus import GPUS_OF_INSTANCE
from stacks.pricing.estimate import cost_estimate
from stacks.pricing.estimators import ESTIMATORS
from stacks.pricing.tables import price_book
from tests.stacks.policy.planned import resource

#: Every type of the target `aws`; those of Kubernetes are in test_kubernetes.py.
TYPES = [
    "ec2/vpc:Vpc",
    "ec2/subnet:Subnet",
    "ec2/routeTable:RouteTable",
    "ec2/routeTableAssociation:RouteTableAssociation",
    "ec2/securityGroup:SecurityGroup",
    "vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    "vpc/securityGroupEgressRule:SecurityGroupEgressRule",
    "ec2/vpcEndpoint:VpcEndpoint",
    "ec2/flowLog:FlowLog",
    "ec2/launchTemplate:LaunchTemplate",
    "ec2/capacityReservation:CapacityReservation",
    "cloudwatch/logGroup:LogGroup",
    "kms/key:Key",
    "kms/alias:Alias",
    "iam/role:Role",
    "iam/rolePolicy:RolePolicy",
    "iam/rolePolicyAttachment:RolePolicyAttachment",
    "iam/policy:Policy",
    "eks/cluster:Cluster",
    "eks/nodeGroup:NodeGroup",
    "eks/addon:Addon",
    "eks/accessEntry:AccessEntry",
    "eks/accessPolicyAssociation:AccessPolicyAssociation",
    "eks/podIdentityAssociation:PodIdentityAssociation",
    "rds/subnetGroup:SubnetGroup",
    "rds/parameterGroup:ParameterGroup",
    "rds/instance:Instance",
    "elasticache/subnetGroup:SubnetGroup",
    "elasticache/parameterGroup:ParameterGroup",
    "elasticache/replicationGroup:ReplicationGroup",
    "elasticache/user:User",
    "elasticache/userGroup:UserGroup",
    "s3/bucket:Bucket",
    "s3/bucketVersioning:BucketVersioning",
    "s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
    "s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
    "s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
    "s3/bucketPolicy:BucketPolicy",
    "s3/bucketOwnershipControls:BucketOwnershipControls",
    "secretsmanager/secret:Secret",
    "secretsmanager/secretVersion:SecretVersion",
]
#: Nothing of these but their use is paid for: no plan says how much that will be.
BY_USE = {"aws:s3/bucket:Bucket", "aws:cloudwatch/logGroup:LogGroup"}


def estimate(*resources: PlannedResource, region: str = "us-east-1") -> CostEstimate:
    return cost_estimate(resources, price_book(region=region))


def node_group(desired: int = 2, machine: str = "g6.xlarge", **more: Any) -> PlannedResource:
    inputs = {"instanceTypes": [machine], "scalingConfig": {"desiredSize": desired}, **more}
    return resource("aws:eks/nodeGroup:NodeGroup", name=f"nodes-{machine}", **inputs)


def template(name: str, size: int | str, **ebs: Any) -> PlannedResource:
    mapping = {"deviceName": "/dev/xvda", "ebs": {"volumeSize": size, "volumeType": "gp3", **ebs}}
    made = resource("aws:ec2/launchTemplate:LaunchTemplate", name=name)
    return made.model_copy(update={"after": {"name": name, "blockDeviceMappings": [mapping]}})


@pytest.mark.parametrize("name", TYPES)
def test_each_type_is_estimated_or_costs_nothing_for_a_reason(name: str) -> None:
    type_name = f"aws:{name}"
    free = price_book(region="eu-west-1").included(type_name)
    assert free != (type_name in ESTIMATORS), "one of the two, and not both"
    if type_name in BY_USE:
        (unknown,) = estimate(resource(type_name)).unknown
        assert "paid by use" in unknown.why


@pytest.mark.parametrize(
    ("region", "monthly"),
    [("us-east-1", ["73.00", "587.50", "1.00"]), ("eu-central-1", ["73.00", "734.67", "1.00"])],
)
def test_a_regions_own_prices(region: str, monthly: list[str]) -> None:
    told = estimate(
        resource("aws:eks/cluster:Cluster"), node_group(1), resource("aws:kms/key:Key"), region=region
    )
    assert [line.monthly for line in told.lines] == monthly
    assert [source.name for source in told.prices] == [f"aws-{region}"]


def test_every_gpu_type_of_a_plan_has_a_price_in_us_east_1_but_one() -> None:
    book = price_book(region="us-east-1")
    without = {name for name in GPUS_OF_INSTANCE if book.price(f"aws:ec2:{name}:on_demand") is None}
    assert without == {"p5e.48xlarge"}, "which has no price on demand there"


@pytest.mark.parametrize("bought", ["SPOT", "CAPACITY_BLOCK"])
def test_what_is_not_bought_on_demand_is_unknown(bought: str) -> None:
    told = estimate(node_group(capacityType=bought))
    (unknown,) = told.unknown
    assert unknown.why.startswith(f"no price table has aws:ec2:g6.xlarge:{bought.lower()}")
    assert told.lines == []


def test_a_database_has_an_instance_a_disk_and_a_managed_password() -> None:
    told = estimate(
        resource(
            "aws:rds/instance:Instance",
            engine="postgres",
            instanceClass="db.r7g.large",
            multiAz=True,
            allocatedStorage=100,
            storageType="gp3",
            manageMasterUserPassword=True,
        )
    )
    assert [line.monthly for line in told.lines] == ["348.94", "23.00", "0.40"]


def test_a_part_without_a_price_leaves_the_others_counted() -> None:
    told = estimate(
        resource(
            "aws:rds/instance:Instance",
            engine="postgres",
            instanceClass="db.x99.large",
            allocatedStorage=100,
        )
    )
    assert [line.sku for line in told.lines] == ["aws:rds:gp3:single_az"]
    assert [each.why for each in told.unknown] == [
        "no price table has aws:rds:postgres:db.x99.large:single_az"
    ]


@pytest.mark.parametrize(
    ("sizes", "nodes"),
    [
        ({"numCacheClusters": 3}, "2190"),
        ({"numNodeGroups": 2, "replicasPerNodeGroup": 1}, "2920"),
        ({}, "730"),
    ],
)
def test_a_cache_costs_for_each_of_its_nodes(sizes: dict[str, int], nodes: str) -> None:
    told = estimate(
        resource(
            "aws:elasticache/replicationGroup:ReplicationGroup",
            engine="valkey",
            nodeType="cache.t4g.small",
            **sizes,
        )
    )
    assert [line.quantity for line in told.lines] == [nodes]


class TestDisks:
    """A node's disks are in its launch template, once for each node."""

    def test_of_the_template_that_is_named(self) -> None:
        told = estimate(
            node_group(launchTemplate={"name": "gpu", "version": UNKNOWN}),
            template("gpu", 200),
            template("cpu", 50),
        )
        assert [(line.sku, line.quantity) for line in told.lines] == [
            ("aws:ec2:g6.xlarge:on_demand", "1460"),
            ("aws:ebs:gp3", "400"),
        ]
        assert told.unknown == []

    def test_of_any_while_all_are_equal(self) -> None:
        told = estimate(node_group(launchTemplate={"id": UNKNOWN}), template("gpu", 80), template("cpu", 80))
        assert [line.quantity for line in told.lines][1:] == ["160"]
        assert told.unknown == []

    def test_unknown_while_it_could_be_either(self) -> None:
        told = estimate(node_group(launchTemplate={"id": UNKNOWN}), template("gpu", 200), template("cpu", 50))
        (unknown,) = told.unknown
        assert "which launch template" in unknown.why
        assert len(told.lines) == 1, "the machines have a price all the same"

    @pytest.mark.parametrize("beyond", [{"iops": 6000}, {"throughput": 500}])
    def test_speed_that_is_paid_for_is_named(self, beyond: dict[str, int]) -> None:
        told = estimate(node_group(launchTemplate={"name": "gpu"}), template("gpu", 200, **beyond))
        assert [each.why for each in told.unknown] == ["the speed of its volumes"]

    def test_without_a_template_the_kind_is_not_ours_to_say(self) -> None:
        told = estimate(node_group(diskSize=100))
        assert [each.why for each in told.unknown] == ["the kind of its nodes' disks is EKS's choice"]

    def test_before_and_after_look_at_their_own_side(self) -> None:
        grown = template("gpu", 300).model_copy(update={"op": "update", "before": template("gpu", 100).after})
        nodes = node_group(launchTemplate={"name": "gpu"})
        nodes = nodes.model_copy(update={"op": "update", "before": nodes.after})
        told = estimate(nodes, grown)
        assert float(told.monthly_after) - float(told.monthly_before) == pytest.approx(2 * 200 * 0.08)


@pytest.mark.parametrize(("held", "used", "unused"), [(4, 1, "2190"), (2, 2, "0"), (1, 3, "0")])
def test_a_reservation_costs_for_what_no_node_uses(held: int, used: int, unused: str) -> None:
    reserved = resource(
        "aws:ec2/capacityReservation:CapacityReservation", instanceType="g6.xlarge", instanceCount=held
    )
    told = estimate(reserved, node_group(used), node_group(5, "m7g.large"))
    (line,) = [line for line in told.lines if line.type == reserved.type]
    assert (line.sku, line.quantity) == ("aws:ec2:g6.xlarge:on_demand", unused)


def test_an_endpoint_in_subnets_that_do_not_exist_yet_is_counted_by_their_number() -> None:
    told = estimate(
        resource("aws:ec2/vpcEndpoint:VpcEndpoint", vpcEndpointType="Interface", subnetIds=[UNKNOWN] * 3)
    )
    assert [line.monthly for line in told.lines] == ["21.90"]
