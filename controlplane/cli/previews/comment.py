"""Previews as the one comment of a pull request, in GitHub's and GitLab's Markdown. Pure.

A comment is found again by MARKER and edited in place. It holds at most LIMIT characters: where the groups'
details do not fit, they are named and counted still, and the complete plans are in the artifact.
"""

from controlplane.cli.previews.groups import Group, Grouped
from controlplane.cli.previews.model import ORDER, Change, TenantPreview
from controlplane.cli.previews.text import counts_text, delta_text, many_text, tenants_text

MARKER = "<!-- freehold-preview -->"
#: GitHub takes 65,536 characters in a comment.
LIMIT = 60_000
_ROWS = 100
#: What a plan by a commit's own program cannot tell.
CHECKOUT_NOTE = "Planned by this commit's program on the exported states; changes of secrets are not shown."
_ARTIFACT = "the complete plans are in the artifact `freehold-preview`"


def preview_comment(found: Grouped, *, commit: str = "", note: str = "") -> str:
    """What would change for whom, what is lost first, then policy, cost, and the order to roll it out in."""
    head = [MARKER, "## Freehold preview", "", _sentence(found, commit)]
    cost = delta_text(found.tenants)
    if cost:
        head.append(f"Cost: {cost}.")
    if found.failed:
        head += ["", "**No plan could be made for:**", ""]
        head += [f"- `{each.slug}`: {_inline(each.error)}" for each in found.failed[:_ROWS]]
    if found.groups:
        head += ["", *_table(found.groups)]
    tail = [f"No changes: {_slugs(found.same)}."] if found.same else []
    if found.groups:
        tail.append(f"Order of a rollout: {_slugs(found.changing)}; production comes last.")
    if note:
        tail.append(f"\n{note}")
    room = LIMIT - len("\n".join([*head, "", *tail])) - 200
    details, left_out = [], 0
    for number, group in enumerate(found.groups, 1):
        block = "\n".join(_details(number, group))
        if len(block) + 1 > room:
            left_out += 1
            continue
        room -= len(block) + 1
        details.append(block)
    if left_out:
        details.append(f"\nThe details of {many_text(left_out, 'group')} do not fit here: {_ARTIFACT}.")
    return "\n".join([*head, *details, "", *tail]).rstrip() + "\n"


def _sentence(found: Grouped, commit: str) -> str:
    changing = len(found.changing)
    of = f" at `{_inline(commit[:12])}`" if commit else ""
    if not changing:
        return f"Nothing would change for {many_text(len(found.tenants) - len(found.failed), 'tenant')}{of}."
    lost = sum(len(group.tenants) for group in found.groups if group.loses)
    denied = sum(len(group.tenants) for group in found.groups if group.denied)
    told = [
        f"{changing} of {len(found.tenants)} tenants would change{of}, in {many_text(len(found.groups), 'way')}."
    ]
    if lost:
        told.append(f"**Resources are replaced or deleted for {lost}.**")
    if denied:
        told.append(f"**Policy denies the plan of {denied}.**")
    return " ".join(told)


def _table(groups: tuple[Group, ...]) -> list[str]:
    rows = ["| | tenants | delete | replace | update | create | policy | cost |"]
    rows.append("|--:|---|--:|--:|--:|--:|---|---|")
    for number, group in enumerate(groups[:_ROWS], 1):
        counts = " | ".join(str(group.counts[op] or "") for op in ORDER)
        outcomes = sorted({finding.outcome for finding in group.findings}) or ["ok"]
        cells = f"{len(group.tenants)}: {tenants_text(group.tenants, 4)} | {counts} | {', '.join(outcomes)}"
        rows.append(f"| {number} | {cells} | {delta_text(group.tenants)} |")
    if len(groups) > _ROWS:
        rows.append(f"| | and {len(groups) - _ROWS} more groups: {_ARTIFACT} | | | | | | |")
    return rows


def _details(number: int, group: Group) -> list[str]:
    opened = " open" if group.loses or group.denied else ""
    title = f"{number}. {counts_text(group)}: {many_text(len(group.tenants), 'tenant')}"
    lines = ["", f"<details{opened}><summary>{title}</summary>", ""]
    lines += [_slugs(group.tenants), ""]
    if group.changes:
        lines += ["```diff", *map(_diff_line, group.changes), "```"]
    for finding in group.findings:
        lines.append(
            f"- **{finding.outcome}** `{_inline(finding.name)}`: {_inline(finding.message)} (`{finding.rule}`)"
        )
    return [*lines, "", "</details>"]


#: What a diff does not colour by the sign of the change gets one that it knows.
_COLOURS = {"update": "! ", "replace": "- "}


def _diff_line(change: Change) -> str:
    return (_COLOURS.get(change.op, "") + change.line()).replace("`", "'")


def _slugs(tenants: tuple[TenantPreview, ...]) -> str:
    shown = ", ".join(f"`{each.slug}`" for each in tenants[:_ROWS])
    more = len(tenants) - _ROWS
    return f"{shown} and {more} more" if more > 0 else shown


def _inline(text: str) -> str:
    """On one line, and without letters that Markdown or a mention would act on."""
    flat = " ".join(text.split()).replace("`", "'").replace("|", "\\|").replace("<", "&lt;")
    return flat.replace("@", "@\u200b")
