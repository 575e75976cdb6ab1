"""The target's own program against what the stand-in for AWS knows: no type and no input of it may be unknown."""

from typing import Any

import pytest

from contracts.stack import CacheSize, GpuSize, PostgresSize
from stacks.targets import target_program
from tests.stacks.monitor import registered
from tests.stacks.placements import cloud_secrets, cloud_spec
from tests.support.providers.aws.provider import handler_of, input_failures


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gpu": GpuSize(count=0)},
        {"gpu": GpuSize(count=1, capacity="capacity_block", capacity_reservation_id="cr-0123456789abcdef0")},
        {"postgres": PostgresSize(high_availability=True), "cache": CacheSize(replicas=2)},
        {"suspended": True},
    ],
    ids=["usual", "no-gpu", "capacity-block", "available", "suspended"],
)
def test_the_stand_in_handles_all_that_the_program_asks_for(changes: dict[str, Any]) -> None:
    spec = cloud_spec("aws", **changes)
    found = registered(target_program(spec, cloud_secrets(spec.slug)))
    of_aws = [each for each in found.resources if each.type.startswith("aws:")]
    assert len(of_aws) > 40
    refused = {
        f"{each.type} {each.name}: {failure.reason}"
        for each in of_aws
        for failure in input_failures(handler_of(each.type), dict(each.after or {}))
    }
    assert refused == set()
