"""The database's user name and password, as AWS Secrets Manager keeps them. boto3 is wanted only here."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from tenant_runtime.errors import DatabaseUnready, SettingsInvalid

_NAME = "RUNTIME_DATABASE_SECRET_ARN"


def secret_reader(arn: str) -> Callable[[], Awaitable[dict[str, str]]]:
    """A function that fetches {username, password} of the secret each time, with a deadline and a few tries.

    SettingsInvalid without boto3; the function raises DatabaseUnready, and no text of it holds the secret.
    """
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise SettingsInvalid(
            f"{_NAME}: found it, but the package boto3 is not installed; wanted it beside the runtime"
        ) from error
    config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 3, "mode": "standard"})
    session: Any = boto3.session.Session(region_name=arn.split(":")[3])

    def fetch() -> dict[str, str]:
        try:
            # A client of its own each time: fetches are rare, and a client is not made for several threads.
            text = session.client("secretsmanager", config=config).get_secret_value(SecretId=arn)[
                "SecretString"
            ]
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "an error")
            raise DatabaseUnready(
                f"{_NAME}: Secrets Manager answers {code}; check the ARN and the role"
            ) from error
        except (BotoCoreError, KeyError) as error:
            raise DatabaseUnready(
                f"{_NAME}: Secrets Manager does not give it: {type(error).__name__}"
            ) from error
        return _parsed(text)

    return lambda: asyncio.to_thread(fetch)


def _parsed(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
        return {name: _text(found[name]) for name in ("username", "password")}
    except (ValueError, KeyError, TypeError):
        # Without its cause: the parser's error quotes what it could not read.
        raise DatabaseUnready(
            f"{_NAME}: found a secret of another shape; wanted JSON with username and password"
        ) from None


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value
