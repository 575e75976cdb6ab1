"""Tenants in clouds: what their specification says, whose network is whose, and what is refused by field."""

import threading
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from contracts.stack import StackSpec
from controlplane.core import clock
from controlplane.core.errors import Conflict, FreeholdError, OperatorError, ValidationFailed
from controlplane.operations.models import Operation
from controlplane.tenants import states
from controlplane.tenants.lifecycle import TenantSubject
from controlplane.tenants.models import Tenant
from controlplane.tenants.services import tenant_create, tenant_update
from controlplane.tenants.stack_spec import stack_spec_of
from controlplane.tenants.targets_file import AwsRegion, TargetsFile
from tests.support.clouds import CUSTOMER, HOME_ACCOUNT, ROLE
from tests.support.people import Person

pytestmark = pytest.mark.usefixtures("clouds")
REGION = "eu-central-1"
BYOC = {"account_id": CUSTOMER, "role_arn": ROLE, "external_id": "f3b1-acme"}


def made(owner: Person, slug: str, **fields: Any) -> Tenant:
    wanted = {"name": slug, "plan": "pro", "target": "aws", **fields}
    return tenant_create(principal=owner.principal, slug=slug, now=clock.now(), **wanted)[0]


def pointers(owner: Person, **fields: Any) -> dict[str, str]:
    """What is refused, by field; and nothing was made."""
    with pytest.raises(ValidationFailed) as raised:
        made(owner, "acme", **fields)
    assert not Tenant.objects.exists()
    return {problem["pointer"]: problem["detail"] for problem in raised.value.errors}


def deprovisioned(tenant: Tenant) -> None:
    """By the same move as the executor's."""
    operation = Operation.objects.get(tenant=tenant)
    Tenant.objects.filter(pk=tenant.pk).update(lifecycle=states.DEPROVISIONING)
    Operation.objects.filter(pk=operation.pk).update(kind="deprovision", state="succeeded")
    operation.refresh_from_db()
    TenantSubject().finished(operation=operation, now=clock.now())


def test_an_aws_tenant_gets_account_network_zones_and_the_files_settings(
    owner: Person, clouds: TargetsFile
) -> None:
    tenant = made(owner, "acme")
    spec = stack_spec_of(tenant, kind="provision")
    assert clouds.aws is not None
    assert (spec.target, spec.region, spec.local, spec.kubernetes) == ("aws", REGION, None, None)
    assert spec.aws is not None
    assert (spec.aws.account_id, spec.aws.vpc_cidr) == (HOME_ACCOUNT, "10.64.0.0/16")
    assert spec.aws.zones == ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
    assert spec.aws.administrators == clouds.aws.administrators
    assert (spec.aws.role_arn, spec.aws.external_id) == (None, None)
    assert spec.aws.cluster == clouds.aws.cluster
    assert (spec.postgres.instance_class, spec.gpu.instance_type) == ("db.m7g.large", "g6.xlarge")
    # What was queued is what would be computed now.
    assert StackSpec.model_validate(Operation.objects.get(tenant=tenant).spec) == spec
    assert tenant.slot is None


def test_a_kubernetes_tenant_gets_the_cluster(owner: Person, clouds: TargetsFile) -> None:
    tenant = made(owner, "acme", target="kubernetes")
    spec = stack_spec_of(tenant, kind="provision")
    assert clouds.kubernetes is not None
    assert spec.kubernetes is not None
    assert (spec.region, spec.kubernetes.context) == ("cluster", "tenants")
    assert spec.kubernetes.kubeconfig == clouds.kubernetes.kubeconfig
    assert (spec.aws, tenant.network) == (None, None)


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ("starter", (0, "db.t4g.medium", False, "cache.t4g.small", 0)),
        ("pro", (1, "db.m7g.large", False, "cache.t4g.medium", 0)),
        ("enterprise", (4, "db.r7g.large", True, "cache.m7g.large", 1)),
    ],
)
def test_every_plan_fits_aws(owner: Person, plan: str, expected: tuple[object, ...]) -> None:
    spec = stack_spec_of(made(owner, "acme", plan=plan), kind="provision")
    assert expected == (
        spec.gpu.count,
        spec.postgres.instance_class,
        spec.postgres.high_availability,
        spec.cache.node_type,
        spec.cache.replicas,
    )


def test_networks_differ_and_are_free_again_after_the_deprovision(owner: Person) -> None:
    first, second = made(owner, "one"), made(owner, "two")
    far = made(owner, "far", region="us-east-1")
    assert (first.network, second.network, far.network) == ("10.64.0.0/16", "10.65.0.0/16", "172.16.0.0/18")
    deprovisioned(first)
    first.refresh_from_db()
    assert (first.lifecycle, first.network) == (states.DEPROVISIONED, None)
    assert made(owner, "three").network == "10.64.0.0/16"


def test_zones_stay_the_tenants_when_the_file_names_others(
    owner: Person, clouds: TargetsFile, settings: Any
) -> None:
    tenant = made(owner, "acme")
    assert clouds.aws is not None
    regions = {**clouds.aws.regions}
    regions[REGION] = AwsRegion(
        zones=["eu-central-1b", "eu-central-1c", "eu-central-1d"], vpc_pool="10.0.0.0/9"
    )
    moved = clouds.aws.model_copy(update={"regions": regions, "account_id": "999988887777"})
    settings.FREEHOLD_TARGETS_FILE = clouds.model_copy(update={"aws": moved})
    spec = stack_spec_of(tenant, kind="update")
    assert spec.aws is not None
    assert (spec.aws.zones[0], spec.aws.account_id, spec.aws.vpc_cidr) == (
        "eu-central-1a",
        HOME_ACCOUNT,
        "10.64.0.0/16",
    )
    settings.FREEHOLD_TARGETS_FILE = TargetsFile()
    with pytest.raises(OperatorError, match=r"no section \[aws\]"):
        stack_spec_of(tenant, kind="update")


def test_a_pool_that_is_used_up_says_so(owner: Person, clouds: TargetsFile, settings: Any) -> None:
    assert clouds.aws is not None
    small = clouds.aws.regions[REGION].model_copy(update={"vpc_pool": "10.64.0.0/15"})
    aws = clouds.aws.model_copy(update={"regions": {REGION: small}})
    settings.FREEHOLD_TARGETS_FILE = clouds.model_copy(update={"aws": aws})
    made(owner, "one")
    # A network in a customer's account takes room too: one control plane must reach both.
    made(owner, "two", overrides={"aws": {**BYOC, "vpc_cidr": "10.65.128.0/20"}})
    with pytest.raises(Conflict) as raised:
        made(owner, "three")
    assert raised.value.code == "network_pool_exhausted"
    assert "10.64.0.0/15" in raised.value.detail
    assert Tenant.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_tenants_made_at_the_same_moment_never_share_a_network(owner: Person) -> None:
    together = threading.Barrier(6)
    failures: list[FreeholdError] = []

    def make(number: int) -> None:
        together.wait()
        try:
            made(owner, f"tenant-{number}")
        except FreeholdError as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=make, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(Tenant.objects.values_list("network", flat=True)) == [
        f"10.{64 + n}.0.0/16" for n in range(6)
    ]


def test_a_stack_in_the_customers_account(owner: Person) -> None:
    tenant = made(owner, "acme", overrides={"aws": {**BYOC, "vpc_cidr": "10.20.0.0/18"}})
    spec = stack_spec_of(tenant, kind="provision")
    assert spec.aws is not None
    assert (spec.aws.account_id, spec.aws.role_arn, spec.aws.external_id) == (CUSTOMER, ROLE, "f3b1-acme")
    assert spec.aws.vpc_cidr == "10.20.0.0/18"
    # Nobody of ours but by the role that the customer gave.
    assert spec.aws.administrators == [ROLE]
    with pytest.raises(ValidationFailed, match="overlaps another tenant's network in the same account"):
        made(owner, "other", overrides={"aws": {**BYOC, "vpc_cidr": "10.20.32.0/20"}})
    # The same network in another account is another network.
    elsewhere = {
        "account_id": "777788889999",
        "role_arn": "arn:aws:iam::777788889999:role/f",
        "external_id": "x1",
    }
    assert made(owner, "third", overrides={"aws": {**elsewhere, "vpc_cidr": "10.20.0.0/18"}}).network


@pytest.mark.parametrize(
    ("aws", "pointer", "words"),
    [
        ({"account_id": "12"}, "/overrides/aws/account_id", "pattern"),
        ({"account_id": CUSTOMER}, "/overrides/aws/role_arn", "is reached by a role in it"),
        ({**BYOC, "account_id": HOME_ACCOUNT}, "/overrides/aws/role_arn", f"is of the account {CUSTOMER}"),
        ({**BYOC, "role_arn": "arn:aws:iam::1:role/x"}, "/overrides/aws/role_arn", "pattern"),
        ({"account_id": CUSTOMER, "role_arn": ROLE}, "/overrides/aws/external_id", "is wanted with role_arn"),
        ({"external_id": "abc"}, "/overrides/aws/external_id", "of no use"),
        ({"vpc_cidr": "10.20.0.0"}, "/overrides/aws/vpc_cidr", "wanted a network from /16 to /20"),
        ({"vpc_cidr": "10.20.1.0/16"}, "/overrides/aws/vpc_cidr", "without host bits"),
        ({"vpc_cidr": "52.0.0.0/16"}, "/overrides/aws/vpc_cidr", "wanted a network within 10.0.0.0/8"),
        ({"vpc_cidr": "10.0.0.0/12"}, "/overrides/aws/vpc_cidr", "from /16 to /20"),
        ({"vpc_cidr": "10.0.64.0/18"}, "/overrides/aws/vpc_cidr", "overlaps 10.0.0.0/16, where the control plane"),
        ({"zones": ["eu-central-1a", "eu-central-1b"]}, "/overrides/aws/zones", "must be 3 different"),
        ({"zones": ["us-east-1a", "us-east-1b", "us-east-1c"]}, "/overrides/aws/zones", "of eu-central-1"),
        ({"colour": "red"}, "/overrides/aws/colour", "Extra inputs"),
    ],
)  # fmt: skip
def test_what_does_not_fit_in_the_account_is_named(
    owner: Person, aws: dict[str, Any], pointer: str, words: str
) -> None:
    assert words in pointers(owner, overrides={"aws": aws})[pointer]


@pytest.mark.parametrize(
    ("target", "overrides", "pointer", "words"),
    [
        ("aws", {"gpu": {"instance_type": "g9.huge"}}, "/overrides/gpu/instance_type", "must be one of g5.xlarge"),
        ("aws", {"gpu": {"instance_type": "g6.12xlarge"}}, "/overrides/gpu/count", "1 is no multiple of 4"),
        ("aws", {"gpu": {"capacity": "capacity_block"}}, "/overrides/gpu/capacity_reservation_id", "is wanted"),
        (
            "aws",
            {"gpu": {"capacity": "spot", "capacity_reservation_id": "cr-0123456789abcdef0"}},
            "/overrides/gpu/capacity",
            "from no reservation",
        ),
        ("aws", {"postgres": {"instance_class": "m7g.large"}}, "/overrides/postgres/instance_class", "db.m7g.large"),
        ("local", {"cache": {"node_type": "db.m7g.large"}}, "/overrides/cache/node_type", "cache.m7g.large"),
        ("local", {"vector_store": {"kind": "qdrant"}}, "/overrides/vector_store/kind", "local runs pgvector"),
        ("local", {"aws": {"vpc_cidr": "10.0.0.0/16"}}, "/overrides/aws", "one of cache, gpu"),
    ],
)  # fmt: skip
def test_sizes_that_the_target_has_not_are_named(
    owner: Person, target: str, overrides: dict[str, Any], pointer: str, words: str
) -> None:
    assert words in pointers(owner, target=target, overrides=overrides)[pointer]


def test_a_machine_that_the_region_does_not_offer(owner: Person, clouds: TargetsFile, settings: Any) -> None:
    assert clouds.aws is not None
    region = clouds.aws.regions[REGION].model_copy(update={"offered_instance_types": ["g5.xlarge"]})
    aws = clouds.aws.model_copy(update={"regions": {REGION: region}})
    settings.FREEHOLD_TARGETS_FILE = clouds.model_copy(update={"aws": aws})
    found = pointers(owner)
    assert found == {
        "/overrides/gpu/instance_type": "eu-central-1 does not offer g6.xlarge in its three zones"
    }
    assert made(owner, "acme", overrides={"gpu": {"instance_type": "g5.xlarge"}}).network


def test_every_wrong_field_is_told_at_once(owner: Person) -> None:
    wrong = {"gpu": {"instance_type": "g9.huge"}, "cache": {"node_type": "x"}, "aws": {"external_id": "abc"}}
    assert set(pointers(owner, overrides=wrong)) == {
        "/overrides/gpu/instance_type",
        "/overrides/cache/node_type",
        "/overrides/aws/external_id",
    }


def test_a_region_that_the_file_has_not(owner: Person) -> None:
    assert pointers(owner, region="mars-north-1") == {"/region": "must be one of eu-central-1, us-east-1"}


def test_the_place_of_a_stack_cannot_be_changed_and_its_role_can(owner: Person) -> None:
    tenant = made(owner, "acme", overrides={"aws": BYOC})
    Tenant.objects.filter(pk=tenant.pk).update(lifecycle=states.ACTIVE)

    def change(aws: dict[str, Any]) -> Tenant:
        return tenant_update(
            principal=owner.principal, tenant=tenant, changes={"overrides": {"aws": aws}}, now=clock.now()
        )[0]

    for moved in ({**BYOC, "vpc_cidr": "10.77.0.0/16"}, {}):
        with pytest.raises(ValidationFailed, match="cannot be changed"):
            change(moved)
    tenant.refresh_from_db()
    assert tenant.overrides == {"aws": BYOC}
    renewed = change({**BYOC, "external_id": "f3b2-acme"})
    spec = stack_spec_of(renewed, kind="update")
    assert spec.aws is not None
    assert (spec.aws.external_id, spec.aws.vpc_cidr) == ("f3b2-acme", tenant.network)


def test_the_api_names_targets_with_their_regions_and_takes_one(owner: Person) -> None:
    results = owner.api().get("/targets").json()["results"]
    assert [(row["key"], row["regions"]) for row in results] == [
        ("local", ["local"]),
        ("aws", ["eu-central-1", "us-east-1"]),
        ("kubernetes", ["cluster"]),
    ]
    body = {"slug": "globex", "name": "G", "plan": "pro", "target": "aws", "region": "us-east-1"}
    answer = owner.api().post("/tenants", body, headers={"idempotency-key": str(uuid4())})
    assert answer.status_code == 202, answer.content
    assert answer.json()["tenant"]["region"] == "us-east-1"
    refused = owner.api().post(
        "/tenants", {**body, "slug": "two", "overrides": {"aws": {"external_id": "abc"}}}
    )
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/overrides/aws/external_id"
