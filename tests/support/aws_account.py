"""AWS accounts for tests: a moto server of the test run, the stand-in's store, and what is left of a tenant."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from embedded.ports import free_port
from tests.support.providers.aws.account import session_with
from tests.support.providers.aws.inventory import Remaining, everything_tagged
from tests.support.providers.aws.store import STORE_VARIABLE, Store
from tests.support.providers.serving import ROOT, executable_write

#: moto's account when nobody assumes a role of another one.
ACCOUNT_ID = "123456789012"
REGION = "eu-central-1"
_READY_WAIT_S = 170.0


@dataclass(frozen=True)
class AwsAccounts:
    """Every account there is: moto isolates them by the role that was assumed."""

    endpoint: str
    store: Store
    executables: Path
    """Holds `pulumi-resource-aws` and `aws`: first on the PATH of the Pulumi CLI."""

    @property
    def environment(self) -> dict[str, str]:
        """What the Pulumi CLI's environment needs beside the PATH."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            STORE_VARIABLE: str(self.store.path),
            # Nothing of the person who runs the tests.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def path(self, others: str) -> str:
        return f"{self.executables}{os.pathsep}{others}"

    def client(self, service: str, *, region: str = REGION, account_id: str = ACCOUNT_ID) -> Any:
        session = session_with("standin", "standin", region=region)
        if account_id != ACCOUNT_ID:
            given = session.client("sts", endpoint_url=self.endpoint).assume_role(
                RoleArn=f"arn:aws:iam::{account_id}:role/anybody", RoleSessionName="test"
            )["Credentials"]
            keys = given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
            session = session_with(*keys, region=region)
        return session.client(service, endpoint_url=self.endpoint)  # type: ignore[call-overload]

    def everything_tagged(
        self, slug: str, *, region: str = REGION, account_id: str = ACCOUNT_ID
    ) -> list[Remaining]:
        """What there is with the tag freehold:tenant=slug, asked of each service and of the store."""
        return everything_tagged(
            slug,
            lambda service: self.client(service, region=region, account_id=account_id),
            self.store,
            f"{account_id}/{region}",
        )

    def reset(self) -> None:
        httpx.post(f"{self.endpoint}/moto-api/reset", timeout=30).raise_for_status()
        self.store.clear()


@pytest.fixture(scope="session")
def aws_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsAccounts]:
    """One moto server for the run: starting it takes seconds, emptying it does not."""
    folder = tmp_path_factory.mktemp("aws")
    port = free_port()
    accounts = AwsAccounts(f"http://127.0.0.1:{port}", Store(folder / "store.sqlite"), folder / "bin")
    for name, module in (("pulumi-resource-aws", "server"), ("aws", "command")):
        executable_write(accounts.executables, name=name, module=f"tests.support.providers.aws.{module}")
    with (folder / "moto.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.providers.aws.emulator", str(port)],
            cwd=ROOT,
            env={**os.environ, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(process, accounts.endpoint, folder / "moto.log")
        yield accounts
    finally:
        # It has nothing to finish: all it knows is in its memory.
        process.kill()
        process.wait()


@pytest.fixture
def aws_accounts(aws_server: AwsAccounts) -> AwsAccounts:
    """Accounts with nothing in them but what AWS puts there."""
    aws_server.reset()
    return aws_server


def _wait(process: subprocess.Popen[bytes], endpoint: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_WAIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            httpx.get(f"{endpoint}/moto-api/data.json", timeout=5).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    pytest.fail(f"moto did not start: {log.read_text()[-2000:]}")
