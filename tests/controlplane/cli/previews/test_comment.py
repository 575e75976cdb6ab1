"""The comment of a pull request: golden texts, grouping, and what happens when there is too much to say."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.cli.previews.comment import LIMIT, MARKER, preview_comment
from controlplane.cli.previews.groups import grouped
from controlplane.cli.previews.model import TenantPreview, tenant_preview
from controlplane.cli.previews.text import preview_text

GOLDEN = Path(__file__).parent / "golden"


def row(op: str, type_name: str, name: str, *paths: str) -> dict[str, Any]:
    diffs = [{"path": path, "kind": "update"} for path in paths]
    return {"urn": f"u-{name}", "type": type_name, "name": name, "op": op, "diffs": diffs}


def finding(rule: str, severity: str, name: str, message: str, **more: Any) -> dict[str, Any]:
    return {
        "rule": rule,
        "severity": severity,
        "name": name,
        "message": message,
        "undecided": False,
        "exception": None,
        **more,
    }


def preview(
    slug: str,
    *rows: dict[str, Any],
    findings: tuple[dict[str, Any], ...] = (),
    cost: tuple[str, str] = ("12.50", "12.50"),
    unknown: int = 0,
    **labels: str,
) -> TenantPreview:
    money = {"monthly_before": cost[0], "monthly_after": cost[1], "currency": "USD", "unknown": unknown}
    plan = {"resources": list(rows), "policy": {"findings": list(findings)}, "cost": money}
    return tenant_preview({"slug": slug, "labels": labels}, plan)


SAME = row("same", "local:index:RedisServer", "cache-server")
BIGGER = row("update", "local:index:RedisServer", "cache-server", "max_memory_mb")
LOST = row("replace", "local:index:PostgresServer", "postgres-server", "data_dir")
LOSS = finding("stateful-kept", "warn", "postgres-server", "replace loses the data it holds")


def fleet() -> list[TenantPreview]:
    return [
        preview("acme", BIGGER, cost=("12.50", "16.00")),
        preview("globex", BIGGER, cost=("12.50", "16.00"), environment="production"),
        preview("initech", BIGGER, LOST, findings=(LOSS,), cost=("40.00", "43.50"), unknown=1),
        preview("hooli", SAME),
    ]


@pytest.mark.parametrize(
    ("name", "previews"),
    [
        ("one_replaced_database", fleet()),
        ("nothing_changes", [preview("acme", SAME), preview("globex", SAME)]),
        (
            "denied_and_failed",
            [
                preview(
                    "acme",
                    row("create", "aws:ec2/securityGroup:SecurityGroup", "open"),
                    findings=(
                        finding("no-public-ingress", "deny", "open", "lets 0.0.0.0/0 in on ports 443-443"),
                        finding(
                            "tenant-tags", "deny", "open", "has no tag", exception={"owner": "j@example.com"}
                        ),
                        finding("no-wildcard-iam", "warn", "role", "its document is unknown", undecided=True),
                    ),
                ),
                TenantPreview(
                    "globex", False, error="Planning failed | `disk` <full> by @somebody\nsecond line"
                ),
            ],
        ),
    ],
)
def test_golden(name: str, previews: list[TenantPreview]) -> None:
    """To renew after a change that is meant: write the text into the file, and read it."""
    told = preview_comment(grouped(previews), commit="0123456789abcdef")
    assert told == (GOLDEN / f"{name}.md").read_text(encoding="utf-8")


def test_the_worst_group_comes_first_and_production_last() -> None:
    found = grouped(fleet())
    assert [[each.slug for each in group.tenants] for group in found.groups] == [
        ["initech"],
        ["acme", "globex"],
    ]
    assert [each.slug for each in found.same] == ["hooli"]


def test_the_same_change_under_another_slug_is_the_same() -> None:
    one = preview("acme", row("create", "x:y:Z", "freehold-acme-bucket"))
    two = preview("my-org", row("create", "x:y:Z", "freehold-my-org-bucket"))
    three = preview("bucket", row("create", "x:y:Z", "freehold-bucket-buckets"))
    (first, second) = grouped([one, two, three]).groups
    assert [each.slug for each in first.tenants] == ["acme", "my-org"]
    assert second.changes[0].name == "freehold-TENANT-buckets"


def test_findings_tell_groups_apart() -> None:
    other = finding("stateful-kept", "warn", "postgres-server", "something else")
    found = grouped([preview("a1", LOST, findings=(LOSS,)), preview("b1", LOST, findings=(other,))])
    assert len(found.groups) == 2


def test_what_is_too_long_keeps_every_group_counted_and_points_to_the_artifact() -> None:
    many = [
        preview(
            f"t{n}", *(row("update", "local:index:RedisServer", f"r{n}-{m}", "x" * 40) for m in range(30))
        )
        for n in range(90)
    ]
    told = preview_comment(grouped(many))
    assert len(told) <= LIMIT
    assert "do not fit here: the complete plans are in the artifact" in told
    assert "| 90 | 1: t" in told
    assert told.count("<details") == told.count("</details>") > 0


@given(st.integers(0, 400), st.integers(1, 60))
def test_the_comment_never_outgrows_its_limit(tenants: int, ways: int) -> None:
    previews = [
        preview(f"tenant{n}", row("delete", "aws:s3/bucket:Bucket", f"bucket-{n % ways}", "p" * (n % 90)))
        for n in range(tenants)
    ]
    told = preview_comment(grouped(previews))
    assert len(told) <= LIMIT
    assert told.startswith(MARKER)


def test_losses_that_somebody_allowed_do_not_count() -> None:
    lost = preview("acme", LOST, row("delete", "x:y:Z", "old-bucket"))
    assert [change.name for change in lost.losing()] == ["old-bucket", "postgres-server"]
    assert [change.name for change in lost.losing(("old-*",))] == ["postgres-server"]
    assert lost.losing(("*",)) == []


def test_text_for_a_terminal() -> None:
    found = grouped(fleet())
    assert preview_text(found).splitlines() == [
        "initech: 1 to replace, 1 to update",
        "  ± local:index:PostgresServer postgres-server [data_dir]",
        "  ~ local:index:RedisServer cache-server [max_memory_mb]",
        "  warning: postgres-server: replace loses the data it holds [stateful-kept]",
        "  40.00 -> 43.50 USD a month (+3.50); 1 resource without a known price",
        "acme, globex: 1 to update",
        "  ~ local:index:RedisServer cache-server [max_memory_mb]",
        "  25.00 -> 32.00 USD a month (+7.00)",
        "hooli: no changes",
    ]
    assert "hooli" not in preview_text(found, changed_only=True)
    assert preview_text(grouped([])) == "No tenant's stack would change."
