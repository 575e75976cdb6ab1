"""A tenant's life in AWS: the real Pulumi CLI, moto for the account, a real apiserver for what runs in the cluster."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation as auto

from contracts.names import name_of
from contracts.planned import PlannedResource
from contracts.stack import CacheSize, GpuSize, PostgresSize, StackOutputs, StackSpec
from stacks.destroying import stack_destroy
from stacks.targets import target_program
from tests.stacks.engine import Engine
from tests.stacks.monitor import registered
from tests.stacks.placements import aws_placement, cloud_secrets, cloud_spec
from tests.stacks.previewing import planned_changes
from tests.support.aws_account import AwsAccounts
from tests.support.cluster.running import Cluster
from tests.support.providers.aws.kubeconfig import KUBECONFIG_VARIABLE
from tests.support.providers.kubernetes.server import provider_folder

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

CUSTOMER = "999999999999"


class Site:
    """Stacks in accounts of moto; every EKS cluster of it is the test's one apiserver."""

    def __init__(self, engine: Engine, accounts: AwsAccounts, cluster: Cluster) -> None:
        self.engine, self.accounts, self.cluster = engine, accounts, cluster
        folders = [str(provider_folder(engine.home / "providers")), str(accounts.executables)]
        engine.environment.update(
            {
                **accounts.environment,
                "AWS_ACCESS_KEY_ID": "123456789012",
                "AWS_SECRET_ACCESS_KEY": "standin",
                "AWS_REGION": "eu-central-1",
                KUBECONFIG_VARIABLE: str(cluster.kubeconfig),
                "PATH": os.pathsep.join([*folders, engine.environment["PATH"]]),
            }
        )

    def spec(self, **changes: Any) -> StackSpec:
        made = self.accounts.client("ec2").create_transit_gateway(Description="the operator's")
        place = aws_placement(transit_gateway_id=made["TransitGateway"]["TransitGatewayId"])
        return cloud_spec("aws", aws=place, **changes)

    def destroy(self, spec: StackSpec) -> list[str]:
        """As the runner destroys; what it says beside the engine."""
        told: list[str] = []
        stack = self.engine.stack(spec)
        stack_destroy(
            spec,
            stack_of=self.engine.stack,
            resources_of=lambda: (stack.export_stack().deployment or {}).get("resources", []),
            on_event=lambda _: None,
            tell=told.append,
            canceled=lambda: False,
            refresh=False,
        )
        return told


@pytest.fixture
def site(
    tmp_path: Path, aws_accounts: AwsAccounts, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    cluster.gpu_node_add("gpu-acme-1", tenant="acme", gpus=4)
    site = Site(Engine.at(tmp_path / "home"), aws_accounts, cluster)
    # The sweep asks AWS from the runner's own process, which here is the test's.
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, site.engine.environment[name])
    yield site
    cluster.node_remove("gpu-acme-1")


def summary(result: auto.UpResult) -> dict[str, int]:
    return dict(result.summary.resource_changes or {})


def by_operation(stack: auto.Stack) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, (operation, _) in planned_changes(stack).items():
        found.setdefault(operation, []).append(name.rpartition(" ")[2])
    return found


def wanted(spec: StackSpec) -> list[PlannedResource]:
    return registered(target_program(spec, cloud_secrets(spec.slug))).resources


def test_a_tenant_lives_in_aws_and_leaves_nothing(site: Site) -> None:
    spec = site.spec()
    stack = site.engine.stack(spec)
    count = len(wanted(spec)) + 1
    assert stack.preview().change_summary == {"create": count}

    made = stack.up()
    assert summary(made) == {"create": count}
    assert planned_changes(stack) == {}
    outputs = StackOutputs.model_validate(made.outputs["outputs"].value)
    assert {each.name for each in outputs.components} == {
        "postgres", "cache", "vector_store", "gpu_pool", "runtime",
    }  # fmt: skip
    assert made.outputs["redis_url"].secret
    assert str(made.outputs["redis_url"].value).startswith("rediss://:")
    assert str(made.outputs["postgres_secret_arn"].value).startswith("arn:aws:secretsmanager:")
    _every_tagged_thing_is_there(site, spec)
    _the_cluster_serves_the_tenant(site)

    # A plan change, looked at before it is made.
    bigger = spec.model_copy(
        update={
            "gpu": GpuSize(count=4, instance_type="g6.12xlarge"),
            "postgres": PostgresSize(instance_class="db.r7g.large", storage_gb=100),
        }
    )
    changes = by_operation(site.engine.stack(bigger))
    assert "nodes-gpu" in changes["replace"], "another machine type is another group"
    assert {"postgres", "model-server-set", "namespace-quota"} <= set(changes["update"])
    assert "postgres" not in changes.get("replace", []), "a larger database keeps its data"
    assert summary(site.engine.stack(bigger).up())["replace"] == 1

    moved = bigger.model_copy(update={"cache": CacheSize(node_type="cache.m7g.large")})
    assert by_operation(site.engine.stack(moved)) == {"update": ["cache"]}

    asleep = bigger.model_copy(update={"suspended": True})
    site.engine.stack(asleep).up()
    group = site.accounts.client("eks").describe_nodegroup(clusterName="fh-acme", nodegroupName="fh-acme-gpu")
    assert group["nodegroup"]["scalingConfig"] == {"minSize": 0, "maxSize": 1, "desiredSize": 0}

    told = site.destroy(asleep)
    assert "Taking deletion protection off 3 resources" in told[0]
    # The last snapshot outlives its database on purpose.
    left = site.accounts.everything_tagged("acme")
    assert [each.type for each in left] == ["aws:rds/snapshot:Snapshot"]
    assert name_of("acme") not in site.cluster.namespaces()
    snapshots = site.accounts.client("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    assert [each["DBSnapshotIdentifier"] for each in snapshots] == ["fh-acme-postgres-final-018f0000"]


def _every_tagged_thing_is_there(site: Site, spec: StackSpec) -> None:
    """Nothing that the program tags is missing where each service is asked for the tenant's tag."""
    there = {each.type for each in site.accounts.everything_tagged("acme")}
    tagged = {each.type for each in wanted(spec) if "tags" in (each.after or {})}
    assert tagged <= there, tagged - there


def _the_cluster_serves_the_tenant(site: Site) -> None:
    pods = {pod.metadata.name: pod.spec.node_name for pod in site.cluster.pods(name_of("acme"))}
    assert pods["model-server-0"] == "gpu-acme-1"
    assert str(pods["vector-store-0"]).startswith("cpu-")
    plugins = site.cluster.pods("kube-system", "app.kubernetes.io/name=nvidia-device-plugin")
    assert [pod.spec.node_name for pod in plugins] == ["gpu-acme-1"]


def customers_role(site: Site, external_id: str) -> str:
    """As the guide tells the customer to make it: it trusts our account, with the external id alone."""
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
    }
    document = {"Version": "2012-10-17", "Statement": [trust]}
    iam = site.accounts.client("iam", account_id=CUSTOMER)
    made = iam.create_role(RoleName="freehold", AssumeRolePolicyDocument=json.dumps(document))
    return str(made["Role"]["Arn"])


def customers_spec(role: str, external_id: str) -> StackSpec:
    place = aws_placement(
        account_id=CUSTOMER,
        role_arn=role,
        external_id=external_id,
        administrators=[role],
        transit_gateway_id=None,
    )
    return cloud_spec("aws", aws=place, gpu=GpuSize(count=0))


def test_a_customers_own_account_holds_the_stack(site: Site) -> None:
    spec = customers_spec(customers_role(site, "acme-4711"), "acme-4711")
    stack = site.engine.stack(spec)
    stack.up()
    assert site.accounts.everything_tagged("acme") == []
    theirs = {each.type for each in site.accounts.everything_tagged("acme", account_id=CUSTOMER)}
    assert {"aws:ec2/vpc:Vpc", "aws:rds/instance:Instance", "aws:eks/cluster:Cluster"} <= theirs
    site.destroy(spec)
    left = site.accounts.everything_tagged("acme", account_id=CUSTOMER)
    assert [each.type for each in left] == ["aws:rds/snapshot:Snapshot"]


def test_a_customers_role_is_not_entered_with_another_external_id(site: Site) -> None:
    spec = customers_spec(customers_role(site, "acme-4711"), "guessed")
    with pytest.raises(auto.CommandError, match="not authorized to perform sts:AssumeRole"):
        site.engine.stack(spec).up()
    assert site.accounts.everything_tagged("acme", account_id=CUSTOMER) == []


def test_another_account_than_the_placements_is_refused(site: Site) -> None:
    spec = cloud_spec("aws", aws=aws_placement(account_id=CUSTOMER))
    with pytest.raises(auto.CommandError, match=r"(?i)account"):
        site.engine.stack(spec).up()
    assert site.accounts.everything_tagged("acme") == []


def test_what_cannot_be_built_is_refused_before_any_resource(site: Site) -> None:
    gpu: dict[str, Any] = {"gpu": GpuSize(count=3, instance_type="g6.12xlarge")}
    with pytest.raises(Exception, match=r"gpu\.count: 3 GPUs do not come in whole machines"):
        site.engine.stack(cloud_spec("aws", **gpu))
    assert site.accounts.everything_tagged("acme") == []
