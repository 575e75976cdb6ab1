"""What commands that ask for an operation on a tenant have in common."""

from typing import Any

from controlplane.cli.client import api_connect, segment
from controlplane.cli.commands_operations import finish
from controlplane.cli.errors import UsageFailure


def operate(
    slug: str, verb: str, body: dict[str, Any], *, wait: bool, timeout_s: float, as_json: bool
) -> None:
    """Asks for the verb and follows the operation to its end, unless told not to wait."""
    api = api_connect()
    answer = api.post(f"tenants/{segment(slug)}/{verb}", body)
    finish(api, answer["operation"], wait=wait, timeout_s=timeout_s, as_json=as_json)


def confirm_demand(slug: str, confirm: str, *, verb: str, what: str) -> None:
    """UsageFailure unless the slug was given a second time, for what cannot be taken back."""
    if confirm != slug:
        raise UsageFailure(what, hint=f"Say so: freehold tenants {verb} {slug} --confirm {slug}")
