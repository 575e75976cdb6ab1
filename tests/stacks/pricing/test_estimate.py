"""What a plan costs: sums, unknowns that are named, tables that are dated."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.planned import UNKNOWN, CostEstimate, PlannedResource
from stacks.errors import PricesBroken
from stacks.pricing.estimate import cost_estimate
from stacks.pricing.estimators.kubernetes import gigabytes
from stacks.pricing.estimators.quantities import CannotEstimate
from stacks.pricing.tables import SHIPPED, PriceBook, price_book
from tests.stacks.policy.planned import resource

TABLE = """
[table]
name = "contract"
currency = "EUR"
date = 2026-11-01
source = "agreement 4711"
regions = ["eu-central-1"]
[prices]
"aws:eks:cluster" = "0.10"
"aws:ec2:g6.xlarge:on_demand" = "0.90"
"aws:ec2:g6.xlarge:spot" = "0.30"
"aws:rds:postgres:db.m7g.large:multi_az" = "0.40"
"aws:rds:gp3:multi_az" = "0.25"
"aws:vpc:interface_endpoint" = "0.012"
"aws:vpc:gateway_endpoint" = "0"
"aws:kms:key" = "1"
"aws:ebs:gp3" = "0.10"
"kubernetes:storage:gp3" = "0.10"
[included]
"aws:ec2/subnet:Subnet" = "no charge"
"""


@pytest.fixture
def book(tmp_path: Path) -> PriceBook:
    path = tmp_path / "contract.toml"
    path.write_text(TABLE)
    return price_book(region="eu-central-1", own=[path])


def nodes(desired: int, bought: str = "ON_DEMAND", **more: Any) -> dict[str, Any]:
    return {
        "instanceTypes": ["g6.xlarge"],
        "capacityType": bought,
        "scalingConfig": {"desiredSize": desired},
        **more,
    }


def estimate(book: PriceBook, *resources: PlannedResource) -> CostEstimate:
    return cost_estimate(resources, book)


def test_before_and_after_of_a_change(book: PriceBook) -> None:
    group = resource("aws:eks/nodeGroup:NodeGroup", op="update", before=nodes(1), **nodes(3))
    told = estimate(book, group)
    assert (told.currency, told.monthly_before, told.monthly_after) == ("EUR", "657.00", "1971.00")
    (line,) = told.lines
    assert (line.sku, line.quantity, line.unit, line.unit_price, line.monthly) == (
        "aws:ec2:g6.xlarge:on_demand",
        "2190",
        "hour",
        "0.9",
        "1971.00",
    )
    assert [(each.name, each.date, each.origin) for each in told.prices] == [
        ("contract", date(2026, 11, 1), "agreement 4711")
    ]


def test_a_deleted_resource_costs_before_and_a_new_one_after(book: PriceBook) -> None:
    gone = resource("aws:kms/key:Key", op="delete", before={})
    new = resource("aws:eks/cluster:Cluster", name="cluster")
    told = estimate(book, gone, new)
    assert (told.monthly_before, told.monthly_after) == ("1.00", "73.00")


@pytest.mark.parametrize(
    ("given", "monthly"),
    [
        (
            resource(
                "aws:rds/instance:Instance",
                engine="postgres",
                instanceClass="db.m7g.large",
                multiAz=True,
                allocatedStorage=100,
            ),
            "317.00",
        ),
        (
            resource(
                "aws:ec2/vpcEndpoint:VpcEndpoint", vpcEndpointType="Interface", subnetIds=["a", "b", "c"]
            ),
            "26.28",
        ),
        (resource("aws:ec2/vpcEndpoint:VpcEndpoint"), "0.00"),
        (resource("aws:ec2/subnet:Subnet"), "0.00"),
        (resource("freehold:aws:Network"), "0.00"),
        (
            resource(
                "kubernetes:apps/v1:StatefulSet",
                spec={
                    "replicas": 3,
                    "volumeClaimTemplates": [
                        {"spec": {"storageClassName": "gp3", "resources": {"requests": {"storage": "10Gi"}}}}
                    ],
                },
            ),
            "3.00",
        ),
    ],
)
def test_estimators(book: PriceBook, given: PlannedResource, monthly: str) -> None:
    told = estimate(book, given)
    assert (told.monthly_after, told.unknown) == (monthly, [])


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (resource("aws:sqs/queue:Queue"), "no price is known for this type"),
        (
            resource("aws:eks/nodeGroup:NodeGroup", **nodes(1, instanceTypes=["p5.48xlarge"])),
            "aws:ec2:p5.48xlarge",
        ),
        (resource("aws:eks/nodeGroup:NodeGroup", **nodes(1, scalingConfig=UNKNOWN)), "known after the apply"),
        (
            resource("aws:eks/nodeGroup:NodeGroup", **nodes(1, instanceTypes=["a", "b"])),
            "not exactly one type",
        ),
        (
            resource("aws:ec2/vpcEndpoint:VpcEndpoint", vpcEndpointType="Interface", subnetIds=UNKNOWN),
            "each of its zones",
        ),
        (resource("aws:rds/instance:Instance", engine="postgres"), "`instanceClass` is missing"),
    ],
)
def test_what_nobody_can_price_is_named_and_never_free(
    book: PriceBook, given: PlannedResource, why: str
) -> None:
    told = estimate(book, given)
    (unknown,) = told.unknown
    assert (unknown.urn, told.lines) == (given.urn, [])
    assert why in unknown.why


def test_the_local_target_is_priced_by_the_shipped_table() -> None:
    told = estimate(
        price_book(region="local"),
        resource("local:index:PostgresServer", name="a", shared_buffers_mb=24, max_connections=200),
        resource("local:index:RedisServer", name="b", max_memory_mb=256),
        resource("local:index:RuntimeProcess", name="c", workers=2, suspended=False),
        resource("local:index:GpuAllocation", name="d", count=1),
        resource("local:index:DataDirectory", name="e"),
    )
    # 1 GB, 0.25 GB and 0.5 GB of memory, and a GPU.
    assert [line.monthly for line in told.lines] == ["3.50", "0.88", "1.75", "320.00"]
    assert (told.currency, told.monthly_after, told.unknown) == ("USD", "326.13", [])


def test_a_suspended_runtime_costs_nothing() -> None:
    running = {"workers": 2, "suspended": False}
    runtime = resource("local:index:RuntimeProcess", before=running, op="update", workers=2, suspended=True)
    told = estimate(price_book(region="local"), runtime)
    assert (told.monthly_before, told.monthly_after) == ("1.75", "0.00")


@given(st.lists(st.integers(0, 50), max_size=6), st.lists(st.integers(0, 50), max_size=6))
def test_the_sum_is_the_sum_of_the_lines(now: list[int], then: list[int]) -> None:
    book = price_book(region="local")
    old = [
        resource("local:index:GpuAllocation", name=f"o{n}", op="delete", before={"count": count})
        for n, count in enumerate(now)
    ]
    new = [resource("local:index:GpuAllocation", name=f"n{n}", count=count) for n, count in enumerate(then)]
    told = estimate(book, *old, *new)
    assert Decimal(told.monthly_after) == sum(Decimal(line.monthly) for line in told.lines)
    assert Decimal(told.monthly_before) * sum(then) == Decimal(told.monthly_after) * sum(now)


def test_every_shipped_table_can_be_read_and_says_its_day_and_source() -> None:
    stems = ["aws", "aws-eu-central-1", "aws-us-east-1", "kubernetes", "local"]
    assert sorted(path.stem for path in SHIPPED.glob("*.toml")) == stems
    found = {
        table.table.name: table
        for region in ("local", "eu-central-1", "us-east-1")
        for table in price_book(region=region).tables
    }
    assert len(found) == len(stems)
    for table in found.values():
        assert table.table.source
        assert date(2026, 1, 1) <= table.table.date <= date(2026, 12, 31)


def test_an_operators_price_comes_before_ours(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(TABLE.replace('"EUR"', '"USD"').replace('"aws:kms:key" = "1"', '"local:gpu" = "100"'))
    told = estimate(
        price_book(region="eu-central-1", own=[own]), resource("local:index:GpuAllocation", count=1)
    )
    assert told.monthly_after == "100.00"


def test_a_table_of_another_currency_leaves_ours_out(book: PriceBook) -> None:
    told = estimate(book, resource("local:index:GpuAllocation", count=1))
    assert [each.why for each in told.unknown] == ["no price table has local:gpu"]


def test_what_costs_nothing_costs_nothing_in_any_currency(book: PriceBook) -> None:
    assert book.currency == "EUR"
    assert estimate(book, resource("aws:iam/role:Role"), resource("kubernetes:core/v1:Secret")).unknown == []


def test_a_table_of_another_region_is_not_used(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(TABLE)
    assert price_book(region="eu-west-1", own=[own]).price("aws:kms:key") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = ", "cannot be read"),
        (TABLE.replace("date = 2026-11-01", ""), "field table.date"),
        (TABLE.replace('"EUR"', '"euros"'), "field table.currency"),
        (TABLE.replace('"0.30"', '"-1"'), "field prices.aws:ec2:g6.xlarge:spot"),
    ],
)
def test_a_broken_table_is_refused_by_name_and_field(tmp_path: Path, text: str, said: str) -> None:
    own = tmp_path / "own.toml"
    own.write_text(text)
    with pytest.raises(PricesBroken, match=said):
        price_book(region="eu-central-1", own=[own])


def test_tables_of_two_currencies_are_refused(tmp_path: Path) -> None:
    for name, text in (("a", TABLE), ("b", TABLE.replace('"EUR"', '"USD"'))):
        (tmp_path / name).write_text(text)
    with pytest.raises(PricesBroken, match="EUR, USD"):
        price_book(region="eu-central-1", own=[tmp_path / "a", tmp_path / "b"])


@pytest.mark.parametrize(("text", "wanted"), [("10Gi", "10"), ("512Mi", "0.5"), ("2Ti", "2048")])
def test_sizes_of_kubernetes(text: str, wanted: str) -> None:
    assert gigabytes(text) == Decimal(wanted)


@pytest.mark.parametrize("text", ["10G", "many", None, UNKNOWN, "xGi"])
def test_sizes_that_are_not_understood(text: Any) -> None:
    with pytest.raises(CannotEstimate):
        gigabytes(text)
