"""`freehold preview`: fetches, groups, shows, keeps as artifacts, and says by its exit code what was found."""

import json
from pathlib import Path

from controlplane.cli.client import api_connect
from controlplane.cli.errors import CliError, Denied
from controlplane.cli.output import data_console, narration, print_json
from controlplane.cli.previews.comment import preview_comment
from controlplane.cli.previews.fetch import Fetched, previews_fetch
from controlplane.cli.previews.groups import Grouped, grouped
from controlplane.cli.previews.text import preview_text


def previews_run(
    slugs: list[str] | None,
    *,
    changed_only: bool,
    format: str,
    exit_code: bool,
    allow: tuple[str, ...],
    out: Path | None,
    commit: str,
    timeout_s: float,
) -> None:
    """Shows the previews of these tenants, or of all. CliError when a plan could not be made; with `exit_code`,
    Denied (5) when policy denies or a resource that nobody allowed would be lost."""
    fetched = previews_fetch(
        api_connect(), slugs, timeout_s=timeout_s, told=lambda line: narration.print(line, markup=False)
    )
    found = grouped(each.preview for each in fetched)
    if out is not None:
        artifacts_write(out, fetched, found, commit)
    if format == "json":
        print_json([each.plan for each in fetched])
    elif format == "markdown":
        data_console.print(preview_comment(found, commit=commit), markup=False, end="", soft_wrap=True)
    else:
        data_console.print(preview_text(found, changed_only=changed_only), markup=False, soft_wrap=True)
    if exit_code:
        _judge(found, allow)
    if found.failed:
        raise CliError(
            f"No plan could be made for {', '.join(each.slug for each in found.failed)}.",
            hint="Their errors are above; see `freehold operations list --state failed`.",
        )


def artifacts_write(folder: Path, fetched: list[Fetched], found: Grouped, commit: str) -> None:
    """`comment.md`, and `plans/SLUG.json` with the complete plan of each tenant: nothing in these is cut."""
    plans = folder / "plans"
    plans.mkdir(parents=True, exist_ok=True)
    for each in fetched:
        text = json.dumps(each.plan, indent=2, sort_keys=True)
        (plans / f"{each.preview.slug}.json").write_text(text + "\n", encoding="utf-8")
    (folder / "comment.md").write_text(preview_comment(found, commit=commit), encoding="utf-8")


def _judge(found: Grouped, allow: tuple[str, ...]) -> None:
    denied = [each.slug for group in found.groups for each in group.tenants if each.denied]
    if denied:
        raise Denied(
            f"Policy denies the plan of {', '.join(denied)}.",
            hint="Change what the findings name, or have an exception recorded with an owner and an end.",
        )
    losing = {change.name for group in found.groups for change in group.tenants[0].losing(allow)}
    if losing:
        raise Denied(
            f"Resources would be replaced or deleted: {', '.join(sorted(losing))}.",
            hint="If that is meant: --allow NAME.",
        )
