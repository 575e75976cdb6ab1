"""The program of the target aws under the real Pulumi CLI: its AWS half against the stand-in."""

from pathlib import Path

import pytest
from pulumi import automation as auto

from contracts.stack import StackSpec
from stacks.targets import TEARDOWNS, target_program
from tests.stacks.engine import engine_environment, pulumi_command
from tests.stacks.placements import aws_placement, cloud_secrets, cloud_spec
from tests.stacks.previewing import planned_changes
from tests.support.aws_account import AwsAccounts
from tests.support.providers.serving import executable_write

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


class Site:
    """One state folder, an account with the operator's transit gateway, and a Kubernetes that takes everything."""

    def __init__(self, accounts: AwsAccounts, folder: Path) -> None:
        home = folder / "home"
        (home / "state").mkdir(parents=True)
        (home / "passphrase").write_text("correct horse")
        executable_write(
            folder / "bin", name="pulumi-resource-kubernetes", module="tests.stacks.silent_kubernetes"
        )
        environment = {**engine_environment(home), **accounts.environment}
        environment["PATH"] = accounts.path(f"{folder / 'bin'}:{environment['PATH']}")
        self._options = auto.LocalWorkspaceOptions(
            work_dir=str(folder),
            env_vars=environment,
            pulumi_command=pulumi_command(),
            project_settings=auto.ProjectSettings(name="freehold", runtime="python"),
        )
        made = accounts.client("ec2").create_transit_gateway(Description="the operator's")
        self._gateway: str = made["TransitGateway"]["TransitGatewayId"]

    def spec(self, **changes: object) -> StackSpec:
        return cloud_spec("aws", aws=aws_placement(transit_gateway_id=self._gateway), **changes)

    def stack(self, spec: StackSpec) -> auto.Stack:
        return auto.create_or_select_stack(
            stack_name=spec.qualified_stack_name,
            project_name="freehold",
            program=target_program(spec, cloud_secrets(spec.slug)),
            opts=self._options,
        )


@pytest.fixture
def site(aws_accounts: AwsAccounts, tmp_path: Path) -> Site:
    return Site(aws_accounts, tmp_path)


def test_a_tenant_is_built_and_taken_down(site: Site, aws_accounts: AwsAccounts) -> None:
    spec = site.spec()
    site.stack(spec).up()
    there = {each.type for each in aws_accounts.everything_tagged(spec.slug)}
    assert there >= {"aws:eks/cluster:Cluster", "aws:rds/instance:Instance", "aws:ec2/vpc:Vpc"}
    assert planned_changes(site.stack(spec)) == {}

    unprotected = site.stack(TEARDOWNS["aws"](spec))
    unprotected.up()
    unprotected.destroy()
    # The last snapshot outlives its database on purpose.
    left = aws_accounts.everything_tagged(spec.slug)
    assert [each.type for each in left] == ["aws:rds/snapshot:Snapshot"]
