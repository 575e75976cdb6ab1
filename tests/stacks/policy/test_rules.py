"""Each rule: what it denies, what it lets pass, and what it cannot tell before the apply."""

import json
from datetime import date
from typing import Any

import pytest

from contracts.planned import UNKNOWN, PlannedResource, PolicyFinding
from stacks.policy.evaluate import policy_evaluate
from stacks.policy.rules import BUILT_IN
from tests.stacks.policy.planned import LABELS, TAGS, planned, resource, workload

TODAY = date(2026, 11, 21)


def findings(rule: str, *resources: PlannedResource, gpus: int = 1) -> list[PolicyFinding]:
    report = policy_evaluate(planned(*resources, gpus=gpus), rules=BUILT_IN, exceptions=[], today=TODAY)
    return [finding for finding in report.findings if finding.rule == rule]


def group(**ingress: Any) -> PlannedResource:
    return resource("aws:ec2/securityGroup:SecurityGroup", tags=TAGS, ingress=[ingress])


def service(kind: str, **annotations: str) -> PlannedResource:
    return resource(
        "kubernetes:core/v1:Service",
        metadata={"labels": LABELS, "annotations": annotations},
        spec={"type": kind},
    )


def document(action: Any, on: Any, effect: str = "Allow", **more: Any) -> str:
    return json.dumps({"Statement": {"Effect": effect, "Action": action, "Resource": on, **more}})


def policy(text: str) -> PlannedResource:
    return resource("aws:iam/policy:Policy", tags=TAGS, policy=text)


def role(principal: Any, **more: Any) -> PlannedResource:
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal, **more}
    text = json.dumps({"Statement": [statement]})
    return resource("aws:iam/role:Role", tags=TAGS, assumeRolePolicy=text)


def nodes(*types: str, most: Any = 1) -> PlannedResource:
    return resource(
        "aws:eks/nodeGroup:NodeGroup",
        tags=TAGS,
        instanceTypes=list(types),
        scalingConfig={"minSize": 0, "desiredSize": 1, "maxSize": most},
    )


def gpu_pods(count: Any, replicas: Any = 1) -> PlannedResource:
    return workload(container={"resources": {"limits": {"nvidia.com/gpu": count}}}, replicas=replicas)


PRIVATE_CLUSTER = {
    "vpcConfig": {"endpointPublicAccess": False},
    "encryptionConfig": {"resources": ["secrets"], "provider": {"keyArn": "arn"}},
}
BUCKET = "aws:s3/bucket:Bucket"
BUCKET_KEY = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
CACHE = "aws:elasticache/replicationGroup:ReplicationGroup"
CLUSTER_ROLE = "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole"
ENCRYPTED = {"atRestEncryptionEnabled": True, "transitEncryptionEnabled": True}

DENIED: list[tuple[str, PlannedResource]] = [
    ("no-public-ingress", group(cidrBlocks=["10.0.0.0/8", "0.0.0.0/0"], fromPort=443, toPort=443)),
    ("no-public-ingress", group(ipv6CidrBlocks=["::/0"])),
    (
        "no-public-ingress",
        resource(
            "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", cidrIpv4="0.0.0.0/0", tags=TAGS
        ),
    ),
    (
        "no-public-ingress",
        resource("aws:ec2/securityGroupRule:SecurityGroupRule", type="ingress", cidrBlocks=["0.0.0.0/0"]),
    ),
    ("no-public-ingress", resource("aws:rds/instance:Instance", publiclyAccessible=True)),
    ("no-public-ingress", resource("aws:ec2/subnet:Subnet", mapPublicIpOnLaunch=True)),
    ("no-public-ingress", resource("aws:lb/loadBalancer:LoadBalancer", tags=TAGS)),
    ("no-public-ingress", resource("aws:eks/cluster:Cluster", vpcConfig={})),
    ("no-public-ingress", service("LoadBalancer")),
    ("no-public-ingress", service("NodePort")),
    ("no-public-ingress", resource("kubernetes:networking.k8s.io/v1:Ingress", metadata={"labels": LABELS})),
    ("stores-encrypted", resource("aws:rds/instance:Instance", storageEncrypted=False)),
    ("stores-encrypted", resource("aws:rds/instance:Instance")),
    ("stores-encrypted", resource(CACHE, transitEncryptionEnabled=True)),
    ("stores-encrypted", resource("aws:eks/cluster:Cluster", encryptionConfig={"resources": []})),
    ("stores-encrypted", resource(BUCKET, bucket="plain", tags=TAGS)),
    (
        "stores-encrypted",
        resource(
            "aws:ec2/launchTemplate:LaunchTemplate",
            blockDeviceMappings=[{"deviceName": "/dev/xvda", "ebs": {"volumeSize": 100}}],
        ),
    ),
    ("transit-encrypted", resource(CACHE, atRestEncryptionEnabled=True)),
    (
        "transit-encrypted",
        resource(
            "aws:rds/parameterGroup:ParameterGroup", parameters=[{"name": "rds.force_ssl", "value": "0"}]
        ),
    ),
    ("no-wildcard-iam", policy(document("*", "*"))),
    ("no-wildcard-iam", policy(document(["s3:GetObject", "s3:*"], ["*"]))),
    ("no-wildcard-iam", policy(json.dumps({"Statement": [{"Effect": "Allow", "NotAction": "iam:*"}]}))),
    (
        "no-wildcard-iam",
        resource(
            "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
            policyArn="arn:aws:iam::aws:policy/AdministratorAccess",
        ),
    ),
    (
        "no-wildcard-iam",
        resource(
            CLUSTER_ROLE,
            metadata={"labels": LABELS},
            rules=[{"verbs": ["*"], "resources": ["*"], "apiGroups": [""]}],
        ),
    ),
    (
        "no-wildcard-iam",
        resource(
            "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding",
            metadata={"labels": LABELS},
            roleRef={"name": "cluster-admin"},
        ),
    ),
    ("no-open-trust", role("*")),
    ("no-open-trust", role({"AWS": "*"})),
    ("no-open-trust", resource("aws:iam/role:Role", assumeRolePolicy="not json")),
    ("tenant-tags", resource("aws:ec2/vpc:Vpc", tags={"Name": "x"})),
    ("tenant-tags", resource("aws:ec2/vpc:Vpc", tags={"freehold:tenant": "globex"})),
    ("tenant-tags", resource("kubernetes:core/v1:ConfigMap", metadata={"name": "x"})),
    ("gpus-within-plan", nodes("g6.12xlarge")),
    ("gpus-within-plan", nodes("g6.xlarge", most=2)),
    ("gpus-within-plan", gpu_pods("1", replicas=2)),
    ("gpus-within-plan", resource("local:index:GpuAllocation", count=2)),
    ("images-by-digest", workload(container={"image": "example/app:1.2"})),
    ("images-by-digest", workload("StatefulSet", initContainers=[{"name": "init", "image": "busybox"}])),
    ("no-privileged-pods", workload(container={"securityContext": {"privileged": True}})),
    ("no-privileged-pods", workload(hostNetwork=True)),
    ("no-privileged-pods", workload(volumes=[{"name": "host", "hostPath": {"path": "/"}}])),
]

PASSES: list[tuple[str, PlannedResource]] = [
    ("no-public-ingress", group(cidrBlocks=["10.0.0.0/8"])),
    (
        "no-public-ingress",
        resource("aws:ec2/securityGroupRule:SecurityGroupRule", type="egress", cidrBlocks=["0.0.0.0/0"]),
    ),
    ("no-public-ingress", resource("aws:lb/loadBalancer:LoadBalancer", internal=True)),
    ("no-public-ingress", resource("aws:eks/cluster:Cluster", **PRIVATE_CLUSTER)),
    ("no-public-ingress", service("ClusterIP")),
    (
        "no-public-ingress",
        service("LoadBalancer", **{"service.beta.kubernetes.io/aws-load-balancer-internal": "true"}),
    ),
    ("stores-encrypted", resource("aws:rds/instance:Instance", storageEncrypted=True)),
    ("stores-encrypted", resource("aws:eks/cluster:Cluster", **PRIVATE_CLUSTER)),
    ("transit-encrypted", resource(CACHE, **ENCRYPTED)),
    ("no-wildcard-iam", policy(document("s3:*", "arn:aws:s3:::acme/*"))),
    ("no-wildcard-iam", policy(document("*", "*", effect="Deny"))),
    ("no-open-trust", role({"Service": "pods.eks.amazonaws.com"})),
    ("no-open-trust", role("*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}})),
    ("tenant-tags", resource("aws:ec2/vpc:Vpc", tags=TAGS)),
    ("tenant-tags", resource("aws:iam/rolePolicyAttachment:RolePolicyAttachment", policyArn="arn")),
    ("tenant-tags", resource("local:index:PostgresServer", port=5432)),
    ("gpus-within-plan", nodes("g6.xlarge")),
    ("gpus-within-plan", nodes("m7i.large", most=9)),
    ("gpus-within-plan", resource("local:index:GpuAllocation", count=1)),
    ("images-by-digest", workload()),
    ("no-privileged-pods", workload()),
    ("no-privileged-pods", workload("DaemonSet", metadata={"namespace": "kube-system"}, hostNetwork=True)),
]

UNDECIDED: list[tuple[str, PlannedResource]] = [
    ("stores-encrypted", resource("aws:rds/instance:Instance", storageEncrypted=UNKNOWN)),
    ("no-wildcard-iam", policy(UNKNOWN)),
    ("no-open-trust", resource("aws:kms/key:Key", policy=UNKNOWN)),
    ("tenant-tags", resource("aws:ec2/vpc:Vpc", tags=UNKNOWN)),
    ("gpus-within-plan", nodes("g7.huge")),
    ("gpus-within-plan", gpu_pods(UNKNOWN)),
    ("images-by-digest", workload(container={"image": UNKNOWN})),
]


@pytest.mark.parametrize(("rule", "given"), DENIED)
def test_denied(rule: str, given: PlannedResource) -> None:
    found = findings(rule, given)
    assert found, "nothing was found"
    assert all(each.denies for each in found)
    assert all(each.urn == given.urn for each in found)


@pytest.mark.parametrize(("rule", "given"), PASSES)
def test_let_pass(rule: str, given: PlannedResource) -> None:
    assert findings(rule, given) == []


@pytest.mark.parametrize(("rule", "given"), UNDECIDED)
def test_what_is_known_after_the_apply_is_told_and_denies_nothing(rule: str, given: PlannedResource) -> None:
    found = findings(rule, given)
    assert [(each.undecided, each.denies) for each in found] == [(True, False)]


def test_every_rule_has_a_case_that_it_denies_or_warns_of() -> None:
    tried = {rule for rule, _ in DENIED} | {"stateful-kept"}
    assert {rule.name for rule in BUILT_IN} == tried


@pytest.mark.parametrize("op", ["replace", "delete"])
def test_lost_data_is_flagged_as_a_warning(op: Any) -> None:
    found = findings("stateful-kept", resource("aws:rds/instance:Instance", op=op, before={}))
    assert [(each.severity, each.message) for each in found] == [("warn", f"{op} loses the data it holds")]
    assert findings("stateful-kept", resource("aws:rds/instance:Instance", op="update", before={})) == []


def test_what_goes_is_judged_by_no_rule_about_what_exists() -> None:
    gone = resource("aws:rds/instance:Instance", op="delete", before={"publiclyAccessible": True})
    assert findings("no-public-ingress", gone) == []


def test_a_bucket_is_encrypted_by_the_configuration_that_names_it() -> None:
    bucket = resource(BUCKET, name="b", bucket="acme-snapshots", tags=TAGS)
    assert findings("stores-encrypted", bucket, resource(BUCKET_KEY, bucket="acme-snapshots")) == []
    assert len(findings("stores-encrypted", bucket, resource(BUCKET_KEY, bucket="another"))) == 1
    # Both are new: the name of the one is an output of the other.
    assert findings("stores-encrypted", bucket, resource(BUCKET_KEY, bucket=UNKNOWN)) == []
    second = resource(BUCKET, name="c", bucket="acme-open", tags=TAGS)
    assert len(findings("stores-encrypted", bucket, second, resource(BUCKET_KEY, bucket=UNKNOWN))) == 1


def test_gpus_of_several_resources_are_added_up() -> None:
    assert findings("gpus-within-plan", nodes("g6.xlarge"), gpu_pods(1), gpus=1) == []
    two = [nodes("g6.xlarge"), nodes("g6.2xlarge")]
    assert [each.message for each in findings("gpus-within-plan", *two, gpus=1)] == [
        "2 GPUs in all (nodes), the plan pro has 1"
    ]
