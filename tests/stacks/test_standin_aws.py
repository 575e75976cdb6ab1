"""The stand-in for AWS under the real Pulumi CLI: one stack with every type it knows, through its life."""

from pathlib import Path

import pytest
from pulumi import automation as auto

from tests.stacks.aws_program import SLUG, Wanted, aws_program
from tests.stacks.engine import engine_environment, pulumi_command
from tests.stacks.previewing import planned_changes
from tests.support.aws_account import AwsAccounts
from tests.support.providers.aws.types import HANDLERS

#: What of the program bears tags.
TAGGED = {name for name, handler in HANDLERS.items() if handler.TAGGED}
NOT_USED = {"aws:ec2transitgateway/vpcAttachment:VpcAttachment"}

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


@pytest.fixture
def stack(aws_accounts: AwsAccounts, tmp_path: Path) -> auto.Stack:
    """A stack without a program yet, on a state folder of the test's own."""
    home = tmp_path / "home"
    (home / "state").mkdir(parents=True)
    (home / "passphrase").write_text("correct horse")
    environment = {**engine_environment(home), **aws_accounts.environment}
    environment["PATH"] = aws_accounts.path(environment["PATH"])
    return auto.create_or_select_stack(
        stack_name=SLUG,
        project_name="standin",
        program=aws_program(Wanted()),
        opts=auto.LocalWorkspaceOptions(
            work_dir=str(tmp_path),
            env_vars=environment,
            pulumi_command=pulumi_command(),
            project_settings=auto.ProjectSettings(name="standin", runtime="python"),
        ),
    )


def planned(stack: auto.Stack, wanted: Wanted) -> dict[str, tuple[str, set[str]]]:
    stack.workspace.program = aws_program(wanted)
    return planned_changes(stack)


def test_a_stack_lives_from_preview_to_destroy(aws_accounts: AwsAccounts, stack: auto.Stack) -> None:
    first = planned(stack, Wanted())
    assert {op for op, _ in first.values()} == {"create"}
    assert aws_accounts.everything_tagged(SLUG) == []
    stack.up()
    assert {each.type for each in aws_accounts.everything_tagged(SLUG)} == TAGGED - NOT_USED
    assert planned(stack, Wanted()) == {}

    larger = Wanted(
        instance_class="db.m7g.large", gpu_type="g6e.xlarge", cache_nodes=2, log_days=90, disk_gb=200
    )
    assert planned(stack, larger) == {
        "LogGroup flow": ("update", {"retentionInDays"}),
        "Instance db": ("update", {"instanceClass"}),
        "ReplicationGroup cache": ("update", {"numCacheClusters"}),
        "CapacityReservation gpus": ("replace", {"instanceType"}),
        "LaunchTemplate gpu": ("update", {"blockDeviceMappings", "capacityReservationSpecification"}),
        "NodeGroup gpu": ("replace", {"instanceTypes", "launchTemplate"}),
    }
    assert planned(stack, Wanted(db_name="other", log_days=30))["Instance db"] == ("replace", {"dbName"})
    stack.workspace.program = aws_program(larger)
    done = stack.up().summary.resource_changes
    assert (done or {})["update"] == 4
    assert aws_accounts.client("eks").describe_nodegroup(clusterName=SLUG, nodegroupName="gpu")["nodegroup"][
        "instanceTypes"
    ] == ["g6e.xlarge"]

    rds, logs = aws_accounts.client("rds"), aws_accounts.client("logs")
    rds.modify_db_instance(
        DBInstanceIdentifier=f"{SLUG}-db", DBInstanceClass="db.t4g.micro", ApplyImmediately=True
    )
    logs.delete_log_group(logGroupName=f"/freehold/{SLUG}/flow")
    stack.refresh()
    drifted = planned(stack, larger)
    assert drifted["Instance db"] == ("update", {"instanceClass"})
    assert drifted["LogGroup flow"][0] == "create"

    stack.destroy()
    assert aws_accounts.everything_tagged(SLUG) == []
    snapshots = rds.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    assert [each["DBSnapshotIdentifier"] for each in snapshots] == [f"{SLUG}-db-final"]
