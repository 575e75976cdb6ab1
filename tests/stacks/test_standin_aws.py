"""The stand-in for AWS under the real Pulumi CLI: one stack with every type it knows, through its life."""

from pathlib import Path

import pytest
from pulumi import automation as auto
from pulumi.automation import OpType

from tests.stacks.aws_program import SLUG, Wanted, aws_program
from tests.stacks.engine import engine_environment, pulumi_command
from tests.support.aws_account import AwsAccounts
from tests.support.providers.aws.types import HANDLERS

#: What of the program bears tags.
TAGGED = {name for name, handler in HANDLERS.items() if handler.TAGGED}

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


def test_a_stack_lives_from_preview_to_destroy(aws_accounts: AwsAccounts, stack: auto.Stack) -> None:
    planned = stack.preview().change_summary
    assert set(planned) == {OpType.CREATE}
    assert aws_accounts.everything_tagged(SLUG) == []
    stack.up()
    assert {each.type for each in aws_accounts.everything_tagged(SLUG)} == TAGGED
    assert stack.preview().change_summary == {OpType.SAME: planned[OpType.CREATE]}
    stack.destroy()
    assert aws_accounts.everything_tagged(SLUG) == []
    snapshots = aws_accounts.client("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    assert [each["DBSnapshotIdentifier"] for each in snapshots] == [f"{SLUG}-db-final"]
