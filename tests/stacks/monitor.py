"""A program run alone against Pulumi's mock monitor: what it registers, with its inputs, in some tens of milliseconds.

No engine, no provider: for what a program asks for. What comes of it is the engine tests' business.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from pulumi.runtime import mocks, rpc

from contracts.planned import PlannedResource


@dataclass
class Registered(mocks.Mocks):
    """`resources` in the order of registration, inputs as the engine would get them."""

    resources: list[PlannedResource] = field(default_factory=list)

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        inputs = _open(args.inputs)
        self.resources.append(
            PlannedResource(
                urn=f"urn:pulumi:test::freehold::{args.typ}::{args.name}",
                type=args.typ,
                name=args.name,
                op="create",
                after=inputs,
            )
        )
        return f"{args.name}-id", {**inputs, **_computed(args.typ, args.name)}

    def call(self, args: mocks.MockCallArgs) -> Any:
        raise AssertionError(f"the program asks {args.token} while planning: a program looks nothing up")

    def of(self, *types: str) -> list[PlannedResource]:
        return [resource for resource in self.resources if resource.type in types]


def registered(program: Callable[[], None]) -> Registered:
    """Runs the program in a context of its own, so that tests do not share Pulumi's settings."""
    found = Registered()

    def run() -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        mocks.set_mocks(found, project="freehold", stack="test", preview=False)
        mocks.test(program)()
        loop.close()

    # In a thread of its own: a browser test of the same run leaves an event loop running in this one.
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(contextvars.copy_context().run, run).result()
    return found


def _open(value: Any) -> Any:
    """Secrets as what they are: whether they stand where they may is the tests' question. Numbers travel as floats."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        if rpc._special_sig_key in value and "value" in value:
            return _open(value["value"])
        return {key: _open(each) for key, each in value.items()}
    return [_open(each) for each in value] if isinstance(value, list) else value


def _computed(kind: str, name: str) -> dict[str, Any]:
    arn = {"arn": f"arn:aws:test:eu-central-1:123456789012:{name}"}
    if kind == "aws:eks/cluster:Cluster":
        return {
            **arn,
            "endpoint": "https://cluster.example.com",
            "certificateAuthority": {"data": "Q0E="},
            "vpcConfig": {"clusterSecurityGroupId": "sg-cluster"},
        }
    if kind == "aws:rds/instance:Instance":
        return {
            **arn,
            "address": "postgres.example.com",
            "masterUserSecrets": [
                {"secretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:pg"}
            ],
        }
    if kind == "aws:elasticache/replicationGroup:ReplicationGroup":
        return {**arn, "primaryEndpointAddress": "cache.example.com"}
    if kind == "aws:ec2/launchTemplate:LaunchTemplate":
        return {**arn, "latestVersion": 1}
    if kind == "aws:kms/key:Key":
        return {**arn, "keyId": name}
    return arn if kind.startswith("aws:") else {}
