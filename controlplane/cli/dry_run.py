"""`freehold tenants create --dry-run`: the plan of a tenant that nobody asked for yet."""

import time
from typing import Any, Final

from controlplane.cli.client import Api, segment
from controlplane.cli.commands_operations import judgement_print, resources_print
from controlplane.cli.errors import CliError, Denied, WaitingTimedOut
from controlplane.cli.output import print_json, say

PAUSE_S: Final = 0.5


def dry_run(api: Api, wanted: dict[str, Any], *, timeout_s: float, as_json: bool) -> None:
    """Shows what would be made and what it would cost. CliError where it cannot be planned, Denied where the policy
    would not let it be applied."""
    preview = _planned(api, api.post("tenant-previews", wanted), timeout_s)
    if preview["state"] == "failed":
        error = preview["error"]
        raise CliError(error["detail"], hint=error["hint"], problem=error)
    if as_json:
        print_json(preview)
    else:
        resources_print(preview["plan"])
        judgement_print(preview["plan"])
        say("Nothing was made.")
    if preview["plan"]["policy"]["denied"]:
        raise Denied("The policy would deny this plan.", hint="See its findings; nothing was made.")


def _planned(api: Api, preview: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    end = time.monotonic() + timeout_s
    while preview["state"] == "waiting":
        if time.monotonic() > end:
            raise WaitingTimedOut(
                f"The preview {preview['id']} has no plan yet.", hint="Is a worker running? freehold status"
            )
        time.sleep(PAUSE_S)
        preview = api.get(f"tenant-previews/{segment(preview['id'])}")
    return preview
