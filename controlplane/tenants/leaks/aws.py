"""The leak scan of an AWS account: each service is asked by tag, since the tagging API misses a third of the types."""

from collections.abc import Callable
from functools import partial
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from contracts.placement import AwsPlacement
from controlplane.tenants.leaks.aws_account import Account, WrongAccount, account_enter, failure_words
from controlplane.tenants.leaks.aws_looks import LOOKS, gpu_machines
from controlplane.tenants.leaks.model import Scan, looks_run

DEADLINE_S: Final = 180.0


def aws_left(slug: str, region: str, place: AwsPlacement, *, alive: Callable[[], None]) -> Scan:
    """Everything in the tenant's account and region that is the tenant's."""
    entered = _enter(slug, region, place)
    if isinstance(entered, Scan):
        return entered
    looks = {name: partial(look, entered) for name, look in LOOKS.items()}
    return looks_run(looks, deadline_s=DEADLINE_S, alive=alive, failure=failure_words)


def aws_restless(slug: str, region: str, place: AwsPlacement, *, alive: Callable[[], None]) -> Scan:
    """Machines with GPUs; whether the runtime answers is asked at its address."""
    entered = _enter(slug, region, place)
    if isinstance(entered, Scan):
        return entered
    looks = {"machine with GPUs": partial(gpu_machines, entered)}
    return looks_run(looks, deadline_s=DEADLINE_S, alive=alive, failure=failure_words)


def _enter(slug: str, region: str, place: AwsPlacement) -> Account | Scan:
    try:
        return account_enter(slug, region, place)
    except (ClientError, BotoCoreError, WrongAccount) as error:
        return Scan(failures=[f"sign-in: {failure_words(error)}"])
