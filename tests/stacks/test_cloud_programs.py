"""What the programs of the cloud targets ask for: run alone, without engine and provider."""

import json
import re
from datetime import date
from typing import Any

import pytest

from contracts.names import name_of
from contracts.placement import AwsPlacement
from contracts.planned import PlannedResource
from contracts.stack import CacheSize, GpuSize, PostgresSize, StackSpec, VectorStoreSize
from stacks.components.passwords import Passwords
from stacks.errors import InputInvalid, TargetUnknown
from stacks.policy.evaluate import policy_evaluate
from stacks.policy.model import Planned
from stacks.policy.rules import BUILT_IN
from stacks.policy.rules.gpus import gpus_within_plan
from stacks.reading import at, containers, pod_spec
from stacks.targets import TEARDOWNS, target_existing, target_program
from tests.stacks.monitor import Registered, registered
from tests.stacks.placements import MODEL, aws_placement, cloud_secrets, cloud_spec, cluster_settings

CLOUDS = ("kubernetes", "aws")


def built(spec: StackSpec) -> Registered:
    return registered(target_program(spec, cloud_secrets(spec.slug)))


def one(found: Registered, kind: str, name: str | None = None) -> dict[str, Any]:
    fitting = [each for each in found.of(kind) if name is None or each.name == name]
    assert len(fitting) == 1, [each.name for each in found.of(kind)]
    return dict(fitting[0].after or {})


@pytest.mark.parametrize("target", CLOUDS)
@pytest.mark.parametrize("suspended", [False, True])
def test_our_own_programs_break_no_rule_of_ours(target: str, suspended: bool) -> None:
    spec = cloud_spec(target, suspended=suspended)
    found = built(spec)
    report = policy_evaluate(
        Planned(spec=spec, resources=tuple(found.resources)),
        rules=BUILT_IN,
        exceptions=[],
        today=date(2026, 11, 21),
    )
    assert report.findings == []
    assert len(found.resources) > 40


@pytest.mark.parametrize("target", CLOUDS)
def test_two_tenants_share_no_physical_name(target: str) -> None:
    acme, other = built(cloud_spec(target, "acme")), built(cloud_spec(target, "globex"))
    shared = names(acme) & names(other)
    assert shared <= {"nvidia-device-plugin", "freehold-encrypted", "write", "access"}, shared


def names(found: Registered) -> set[str]:
    """Names that are one for a whole account or cluster: an object's in a namespace comes with its namespace."""
    known = set[str]()
    for resource in found.resources:
        inputs = resource.after or {}
        namespace = at(inputs, "metadata", "namespace")
        for path in (("name",), ("metadata", "name"), ("identifier",), ("bucket",), ("nodeGroupName",)):
            value = at(inputs, *path)
            # Settings of another resource bear its name, and add-ons the one AWS gave them.
            if isinstance(value, str) and not resource.type.startswith(("pulumi:", "aws:s3/bucket")):
                known.add(f"{namespace}/{value}" if namespace not in (None, "kube-system") else value)
    return known


def test_every_pod_passes_the_restricted_standard_and_states_what_it_uses() -> None:
    for target in CLOUDS:
        for resource in built(cloud_spec(target)).resources:
            inputs = resource.after or {}
            if not pod_spec(inputs) or at(inputs, "metadata", "namespace") == "kube-system":
                continue
            assert at(pod_spec(inputs), "securityContext", "runAsNonRoot") is True, resource.name
            assert at(pod_spec(inputs), "automountServiceAccountToken") is False, resource.name
            for container in containers(inputs):
                assert at(container, "securityContext", "capabilities", "drop") == ["ALL"], resource.name
                assert at(container, "resources", "limits", "memory"), resource.name


@pytest.mark.parametrize("target", CLOUDS)
def test_only_what_uses_gpus_may_run_on_gpu_nodes(target: str) -> None:
    on_gpus = {
        resource.name
        for resource in built(cloud_spec(target)).resources
        if pod_spec(resource.after or {}) and at(pod_spec(resource.after or {}), "tolerations")
    }
    plugin = {"nvidia-device-plugin"} if target == "aws" else set()
    assert on_gpus == {"model-server-set"} | plugin


@pytest.mark.parametrize("target", CLOUDS)
def test_nothing_is_reached_but_through_doors(target: str) -> None:
    found = built(cloud_spec(target))
    policies = {each.name: at(each.after, "spec") for each in found.of(POLICY)}
    closed = policies["network-deny-all"]
    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, spec in policies.items():
        for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
            ends = rule.get("from") or rule.get("to")
            assert ends, f"{name} opens to everybody"
            assert {"ipBlock": {"cidr": "0.0.0.0/0"}} not in ends, name
    assert "network-model-server-out-443" in policies


POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"


@pytest.mark.parametrize("kind", ["weaviate", "qdrant", "pgvector"])
@pytest.mark.parametrize("target", CLOUDS)
def test_a_plan_chooses_the_vector_store(target: str, kind: Any) -> None:
    found = built(cloud_spec(target, vector_store=VectorStoreSize(kind=kind)))
    store = one(found, "kubernetes:apps/v1:StatefulSet", "vector-store-set")
    image = at(store, "spec", "template", "spec", "containers")[0]["image"]
    assert {"pgvector": "postgres"}.get(kind, kind) in image
    url = one(found, "kubernetes:core/v1:Secret", "runtime-secret")["stringData"]["vector_url"]
    assert url.startswith({"pgvector": "postgresql://"}.get(kind, f"{kind}://"))


@pytest.mark.parametrize("target", CLOUDS)
def test_a_suspended_tenant_keeps_its_stores_and_nothing_else(target: str) -> None:
    found = built(cloud_spec(target, suspended=True))
    replicas = {
        each.name: at(each.after, "spec", "replicas")
        for each in found.of("kubernetes:apps/v1:StatefulSet", "kubernetes:apps/v1:Deployment")
    }
    assert replicas["runtime-deployment"] == 0
    assert replicas["model-server-set"] == 0
    assert replicas["vector-store-set"] == 1
    assert found.of("kubernetes:autoscaling/v2:HorizontalPodAutoscaler") == []
    if target == "aws":
        scaling = one(found, "aws:eks/nodeGroup:NodeGroup", "nodes-gpu")["scalingConfig"]
        assert scaling == {"minSize": 0, "desiredSize": 0, "maxSize": 1}


def test_passwords_are_apart_by_part_and_generation_and_the_same_again() -> None:
    def of(part: str, **changes: Any) -> str:
        return Passwords(cloud_spec("aws", **changes), cloud_secrets()).of(part)

    assert of("cache") == of("cache")
    assert len({of("cache"), of("postgres"), of("cache", credentials=2)}) == 3
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", of("cache"))
    with pytest.raises(InputInvalid, match="no seed"):
        Passwords(cloud_spec("aws"), cloud_secrets().model_copy(update={"password_seed": None}))


@pytest.mark.parametrize("target", CLOUDS)
def test_no_password_stands_anywhere_but_in_secrets(target: str) -> None:
    found = built(cloud_spec(target))
    spec, secrets = cloud_spec(target), cloud_secrets()
    words = [
        Passwords(spec, secrets).of(part) for part in ("postgres", "cache", "vector-store", "model-server")
    ]
    words += [secrets.usage_token, secrets.runtime_admin_key, str(secrets.password_seed)]
    for resource in found.resources:
        if resource.type == "kubernetes:core/v1:Secret" or "replicationGroup" in resource.type:
            continue
        text = json.dumps(resource.after)
        assert not [word for word in words if word in text], resource.name


def test_the_aws_cluster_has_no_public_door_and_its_network_no_way_out() -> None:
    found = built(cloud_spec("aws"))
    cluster = one(found, "aws:eks/cluster:Cluster")
    assert cluster["vpcConfig"]["endpointPublicAccess"] is False
    assert cluster["accessConfig"]["authenticationMode"] == "API"
    assert len(cluster["enabledClusterLogTypes"]) == 5
    kinds = {resource.type for resource in found.resources}
    assert not kinds & {"aws:ec2/internetGateway:InternetGateway", "aws:ec2/natGateway:NatGateway"}
    services = {
        str(at(each.after, "serviceName")).removeprefix("com.amazonaws.eu-central-1.")
        for each in found.of("aws:ec2/vpcEndpoint:VpcEndpoint")
    }
    assert services >= {"ecr.api", "ecr.dkr", "sts", "secretsmanager", "logs", "eks", "ec2", "s3"}


def test_the_gpu_group_follows_the_plan() -> None:
    spec = cloud_spec("aws", gpu=GpuSize(count=8, instance_type="g6.12xlarge"))
    group = one(built(spec), "aws:eks/nodeGroup:NodeGroup", "nodes-gpu")
    assert group["amiType"] == "AL2023_x86_64_NVIDIA"
    assert group["scalingConfig"] == {"minSize": 0, "desiredSize": 2, "maxSize": 2}
    assert {taint["key"] for taint in group["taints"]} == {"freehold.dev/tenant", "nvidia.com/gpu"}
    assert group["instanceTypes"] == ["g6.12xlarge"]
    none = built(cloud_spec("aws", gpu=GpuSize(count=0)))
    assert [each.name for each in none.of("aws:eks/nodeGroup:NodeGroup")] == ["nodes-system"]
    assert none.of("kubernetes:apps/v1:DaemonSet") == []


def test_a_capacity_block_stands_in_the_template_alone() -> None:
    reservation = "cr-0123456789abcdef0"
    gpu = GpuSize(
        count=8, instance_type="p5.48xlarge", capacity="capacity_block", capacity_reservation_id=reservation
    )
    found = built(cloud_spec("aws", gpu=gpu))
    group = one(found, "aws:eks/nodeGroup:NodeGroup", "nodes-gpu")
    assert group["capacityType"] == "CAPACITY_BLOCK"
    assert "instanceTypes" not in group
    template = one(found, "aws:ec2/launchTemplate:LaunchTemplate", "nodes-gpu-template")
    assert template["instanceType"] == "p5.48xlarge"
    assert template["instanceMarketOptions"]["marketType"] == "capacity-block"
    target = template["capacityReservationSpecification"]["capacityReservationTarget"]
    assert target["capacityReservationId"] == reservation


@pytest.mark.parametrize(("paid", "denied"), [(8, False), (4, True)])
def test_the_gpus_of_a_capacity_block_are_counted(paid: int, denied: bool) -> None:
    gpu = GpuSize(
        count=8,
        instance_type="p5.48xlarge",
        capacity="capacity_block",
        capacity_reservation_id="cr-0123456789abcdef0",
    )
    found = built(cloud_spec("aws", gpu=gpu))
    judged = policy_evaluate(
        Planned(spec=cloud_spec("aws", gpu=GpuSize(count=paid)), resources=tuple(found.resources)),
        rules=[gpus_within_plan],
        exceptions=[],
        today=date(2026, 11, 21),
    )
    assert [each.name for each in judged.denied if each.type.startswith("aws:")] == (
        ["nodes-gpu"] if denied else []
    )
    assert not [each for each in judged.findings if each.undecided]


def test_the_database_is_protected_until_the_stack_is_torn_down() -> None:
    spec = cloud_spec("aws", postgres=PostgresSize(high_availability=True, instance_class="db.r7g.large"))
    database = one(built(spec), "aws:rds/instance:Instance")
    assert database["deletionProtection"] is True
    assert database["multiAz"] is True
    assert database["manageMasterUserPassword"] is True
    assert "password" not in database
    assert database["skipFinalSnapshot"] is False
    assert database["finalSnapshotIdentifier"] == "fh-acme-postgres-final-018f0000"

    down = built(TEARDOWNS["aws"](spec))
    assert one(down, "aws:rds/instance:Instance")["deletionProtection"] is False
    assert one(down, "aws:eks/cluster:Cluster")["deletionProtection"] is False
    assert one(down, "aws:s3/bucket:Bucket")["forceDestroy"] is True


def test_a_customers_own_account_is_entered_by_its_role_and_external_id() -> None:
    role = "arn:aws:iam::123456789012:role/freehold-tenant"
    place = aws_placement(role_arn=role, external_id="acme-4711")
    found = built(cloud_spec("aws", aws=place))
    provider = one(found, "pulumi:providers:aws")
    assumed = json.loads(provider["assumeRoles"])
    assert [(each["roleArn"], each["externalId"]) for each in assumed] == [(role, "acme-4711")]
    assert json.loads(provider["allowedAccountIds"]) == ["123456789012"]
    access = one(found, "pulumi:providers:kubernetes")
    assert role in json.loads(access["kubeconfig"])["users"][0]["user"]["exec"]["args"]
    assert "token" not in json.loads(access["kubeconfig"])["users"][0]["user"]


def test_names_fit_where_they_go() -> None:
    slug = "a" + "b" * 38 + "c"
    found = built(cloud_spec("aws", slug))
    assert len(one(found, "aws:elasticache/replicationGroup:ReplicationGroup")["replicationGroupId"]) <= 40
    assert len(one(found, "aws:s3/bucket:Bucket")["bucket"]) <= 63
    assert all(len(at(each.after, "name")) <= 64 for each in found.of("aws:iam/role:Role"))
    assert name_of("a--b") != name_of("a-b")
    assert "--" not in name_of("a--b")
    assert name_of("x" * 40, "cache", limit=40) != name_of("x" * 39 + "y", "cache", limit=40)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("aws.vpc_cidr: /28 is not between", {"vpc_cidr": "10.64.0.0/28"}),
        ("aws.vpc_cidr: 10.64.0.1/18 is no network", {"vpc_cidr": "10.64.0.1/18"}),
        ("aws.vpc_cidr: 11.0.0.0/18 is not a private", {"vpc_cidr": "11.0.0.0/18"}),
        ("aws.vpc_cidr: 10.200.0.0/18 overlaps", {"vpc_cidr": "10.200.0.0/18"}),
        ("aws.zones: found eu-central-1a; wanted 3", {"zones": ["eu-central-1a"]}),
        ("aws.zones: us-east-1a is not in the region", {"zones": ["us-east-1a", "us-east-1b", "us-east-1c"]}),
        ("aws.external_id: missing", {"role_arn": "arn:aws:iam::123456789012:role/x"}),
        ("aws.role_arn: missing", {"external_id": "acme"}),
        ("aws.role_arn: the role is of account", {"role_arn": "arn:aws:iam::999999999999:role/x"}),
        ("aws.administrators: empty", {"administrators": []}),
        ("aws.addons: no version is named for vpc-cni", {"addons": {}}),
        ("gpu.instance_type: g6.xlarge is not offered", {"offered_instance_types": ["m7i.large"]}),
        ("gpu.count: 4 vCPUs", {"gpu_vcpu_quota": 2}),
        (
            "aws.cluster.model_cidrs[0]: everything",
            {"cluster": cluster_settings(model_cidrs=["0.0.0.0/0"])},
        ),
    ],
)
def test_a_placement_that_cannot_be_is_refused_by_field(field: str, changes: dict[str, Any]) -> None:
    place = AwsPlacement.model_validate({**aws_placement().model_dump(), **changes})
    with pytest.raises(InputInvalid, match=re.escape(field)):
        target_program(cloud_spec("aws", aws=place), cloud_secrets())


@pytest.mark.parametrize(
    ("field", "gpu"),
    [
        (
            "gpu.instance_type: m7i.large is no machine with NVIDIA",
            GpuSize(count=1, instance_type="m7i.large"),
        ),
        ("gpu.count: 3 GPUs do not come in whole", GpuSize(count=3, instance_type="g6.12xlarge")),
        (
            "gpu.capacity_reservation_id: missing",
            GpuSize(count=8, instance_type="p5.48xlarge", capacity="capacity_block"),
        ),
    ],
)
def test_gpus_that_cannot_be_had_are_refused_by_field(field: str, gpu: GpuSize) -> None:
    with pytest.raises(InputInvalid, match=re.escape(field)):
        target_program(cloud_spec("aws", gpu=gpu), cloud_secrets())


def test_every_objection_is_told_at_once() -> None:
    place = aws_placement(vpc_cidr="10.64.0.0/28", administrators=[])
    with pytest.raises(InputInvalid) as refused:
        target_program(cloud_spec("aws", aws=place), cloud_secrets())
    assert "aws.vpc_cidr" in str(refused.value)
    assert "aws.administrators" in str(refused.value)


def test_copies_of_a_model_share_the_gpus_out_evenly() -> None:
    model = MODEL.model_copy(update={"gpus_per_replica": 4})
    place = aws_placement(cluster=cluster_settings(model=model))
    with pytest.raises(InputInvalid, match=r"gpu\.count: 2 GPUs cannot be shared out"):
        target_program(cloud_spec("aws", aws=place, gpu=GpuSize(count=2)), cloud_secrets())


@pytest.mark.parametrize("target", CLOUDS)
def test_a_cloud_target_needs_its_placement(target: str) -> None:
    with pytest.raises(TargetUnknown, match=f"no `{target}` placement"):
        target_program(cloud_spec(target, **{target: None}), cloud_secrets())


@pytest.mark.parametrize("target", CLOUDS)
def test_what_exists_is_billed_by_the_state_as_by_the_outputs(target: str) -> None:
    spec = cloud_spec(target, gpu=GpuSize(count=4, instance_type="g6.12xlarge"), cache=CacheSize(replicas=1))
    found = built(spec)
    state = [exported(resource) for resource in found.resources]
    said = {(each.meter, each.slot) for each in target_existing(spec, state).billable}
    assert said == {
        *(("database_hours", slot) for slot in range(3)),
        ("runtime_hours", 0),
        *(("gpu_hours", slot) for slot in range(4)),
    }
    rested = [exported(each) for each in built(spec.model_copy(update={"suspended": True})).resources]
    meters = {each.meter for each in target_existing(spec, rested).billable}
    assert meters == {"database_hours"}
    assert target_existing(spec, []).billable == []


def exported(resource: PlannedResource) -> dict[str, Any]:
    return {"type": resource.type, "urn": resource.urn, "inputs": resource.after}
