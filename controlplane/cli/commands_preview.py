"""`freehold preview`: fetches, groups, shows, keeps as artifacts, and says by its exit code what was found."""

import json
from dataclasses import dataclass
from pathlib import Path

from controlplane.cli.client import api_connect
from controlplane.cli.errors import CliError, Denied
from controlplane.cli.output import data_console, narration, print_json
from controlplane.cli.previews.checkout import Checkout, exports_fetch, exports_plan, exports_read
from controlplane.cli.previews.comment import CHECKOUT_NOTE, preview_comment
from controlplane.cli.previews.fetch import Fetched, previews_fetch
from controlplane.cli.previews.groups import Grouped, grouped
from controlplane.cli.previews.text import preview_text


@dataclass(frozen=True)
class Planner:
    """Whose program plans: the control plane's own release, or with `checkout` the commit's. `states` is a folder of
    exported stacks, in place of the API's."""

    checkout: Checkout | None = None
    states: Path | None = None

    def plans(self, slugs: list[str] | None, timeout_s: float) -> list[Fetched]:
        def told(line: str) -> None:
            narration.print(line, markup=False)

        if self.checkout is None:
            return previews_fetch(api_connect(), slugs, timeout_s=timeout_s, told=told)
        self.checkout.require()
        exports = (
            exports_fetch(api_connect(), slugs) if self.states is None else exports_read(self.states, slugs)
        )
        return exports_plan(exports, checkout=self.checkout, timeout_s=timeout_s, told=told)


def previews_run(
    slugs: list[str] | None,
    *,
    planner: Planner,
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
    fetched = planner.plans(slugs, timeout_s)
    note = CHECKOUT_NOTE if planner.checkout else ""
    found = grouped(each.preview for each in fetched)
    if out is not None:
        artifacts_write(out, fetched, found, commit, note)
    if format == "json":
        print_json([each.plan for each in fetched])
    elif format == "markdown":
        data_console.print(
            preview_comment(found, commit=commit, note=note), markup=False, end="", soft_wrap=True
        )
    else:
        data_console.print(preview_text(found, changed_only=changed_only), markup=False, soft_wrap=True)
    if exit_code:
        _judge(found, allow)
    if found.failed:
        raise CliError(
            f"No plan could be made for {', '.join(each.slug for each in found.failed)}.",
            hint="Their errors are above; see `freehold operations list --state failed`.",
        )


def artifacts_write(
    folder: Path, fetched: list[Fetched], found: Grouped, commit: str, note: str = ""
) -> None:
    """`comment.md`, and `plans/SLUG.json` with the complete plan of each tenant: nothing in these is cut."""
    plans = folder / "plans"
    plans.mkdir(parents=True, exist_ok=True)
    for each in fetched:
        text = json.dumps(each.plan, indent=2, sort_keys=True)
        (plans / f"{each.preview.slug}.json").write_text(text + "\n", encoding="utf-8")
    (folder / "comment.md").write_text(preview_comment(found, commit=commit, note=note), encoding="utf-8")


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
