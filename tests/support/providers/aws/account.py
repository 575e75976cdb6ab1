"""An AWS account in a region, as one provider instance is configured to see it."""

import json
import threading
from collections.abc import Mapping
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader

from tests.support.providers.aws.gaps import trust_check
from tests.support.providers.aws.store import Store
from tests.support.providers.serving import Refused

Values = dict[str, Any]
_LOADER = Loader()
_CLIENT = Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=30, parameter_validation=True)


class Account:
    """Clients with the right credentials, the stand-in's own store, and the tags that every resource gets."""

    def __init__(
        self, session: boto3.Session, *, region: str, account_id: str, default_tags: dict[str, str]
    ) -> None:
        self.region = region
        self.account_id = account_id
        self.default_tags = default_tags
        self.store = Store.from_environment()
        self._session = session
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    @classmethod
    def configured(cls, settings: Mapping[str, Any]) -> "Account":
        """`settings` are the provider's; the API's address comes from AWS_ENDPOINT_URL."""
        region = settings.get("region")
        if not region:
            raise Refused("the provider aws needs a region")
        key, secret = settings.get("accessKey", "standin"), settings.get("secretKey", "standin")
        session = session_with(key, secret, settings.get("token"), region=region)
        for role in settings.get("assumeRoles") or []:
            session = _assumed(session, role, region)
        account_id = session.client("sts", config=_CLIENT).get_caller_identity()["Account"]
        allowed = settings.get("allowedAccountIds") or []
        if allowed and account_id not in allowed:
            raise Refused(f"AWS account ID not allowed: {account_id}, only {', '.join(allowed)}")
        tags = (settings.get("defaultTags") or {}).get("tags") or {}
        return cls(session, region=region, account_id=account_id, default_tags=dict(tags))

    def client(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._session.client(service, config=_CLIENT)
            return self._clients[service]

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{resource}"

    def put(self, kind: str, name: str, values: Values) -> None:
        self.store.put(self._place, kind, name, values)

    def get(self, kind: str, name: str) -> Values | None:
        return self.store.get(self._place, kind, name)

    def all(self, kind: str) -> dict[str, Values]:
        return self.store.all(self._place, kind)

    def remove(self, kind: str, name: str) -> bool:
        return self.store.remove(self._place, kind, name)

    @property
    def _place(self) -> str:
        return f"{self.account_id}/{self.region}"


def session_with(key: str, secret: str, token: str | None = None, *, region: str) -> boto3.Session:
    """Sessions share what was read of AWS's models: reading them takes longer than all calls of a test."""
    inner = botocore.session.Session()
    inner.register_component("data_loader", _LOADER)
    return boto3.Session(key, secret, token, region, botocore_session=inner)


def settings_read(arguments: Mapping[str, Any]) -> Values:
    """The provider's settings; the SDK sends what is not a string as JSON text."""
    read = {}
    for name, value in arguments.items():
        if isinstance(value, str) and value[:1] in ("[", "{"):
            value = json.loads(value)
        read[name] = value
    return read


def _assumed(session: boto3.Session, role: Values, region: str) -> boto3.Session:
    asked = {
        "RoleArn": role["roleArn"],
        "RoleSessionName": role.get("sessionName") or "standin",
    }
    if role.get("externalId"):
        asked["ExternalId"] = role["externalId"]
    try:
        given = session.client("sts", config=_CLIENT).assume_role(**asked)["Credentials"]
    except ClientError as error:
        raise Refused(f"cannot assume the role {role['roleArn']}: {error}") from error
    keys = given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
    assumed = session_with(*keys, region=region)
    trust_check(assumed.client("iam", config=_CLIENT), role["roleArn"], role.get("externalId"))
    return assumed
