"""The account that a scan looks into: signed in as the stack's provider is, and known to be the right one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from contracts.names import name_of
from contracts.placement import AwsPlacement

TENANT_TAG: Final = "freehold:tenant"
_BOUNDED: Final = Config(
    connect_timeout=5,
    read_timeout=20,
    retries={"max_attempts": 4, "mode": "standard"},
    max_pool_connections=16,
)
_SESSION_S: Final = 3600
DENIED: Final = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")

Tags = Mapping[str, str]


class WrongAccount(Exception):
    """Signed in, but not where the tenant lives."""


@dataclass
class Account:
    """`session` acts in the tenant's account. Clients are made one at a time: boto3's sessions share no thread."""

    session: boto3.Session
    region: str
    slug: str
    cluster: str
    _lock: Lock = field(default_factory=Lock)
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                made: Any = self.session
                self._clients[service] = made.client(service, region_name=self.region, config=_BOUNDED)
            return self._clients[service]

    def pages(self, service: str, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
        """Every item below `key` of all pages."""
        client = self.client(service)
        if client.can_paginate(operation):
            for page in client.get_paginator(operation).paginate(**arguments):
                yield from page.get(key) or []
        else:
            yield from getattr(client, operation)(**arguments).get(key) or []

    @property
    def marks(self) -> tuple[tuple[str, str], ...]:
        """Tags of which each alone says that something is this tenant's: ours, and those that EKS, its add-ons and
        Kubernetes give to what they make for the tenant's cluster."""
        return (
            (TENANT_TAG, self.slug),
            ("aws:eks:cluster-name", self.cluster),
            ("eks:cluster-name", self.cluster),
            ("cluster.k8s.amazonaws.com/name", self.cluster),
            ("elbv2.k8s.aws/cluster", self.cluster),
            (f"kubernetes.io/cluster/{self.cluster}", "owned"),
        )

    def owns(self, tags: Tags) -> bool:
        return any(tags.get(key) == value for key, value in self.marks)


def account_enter(slug: str, region: str, place: AwsPlacement) -> Account:
    """Signs in, by the customer's role where there is one. Raises ClientError or BotoCoreError, WrongAccount."""
    session = boto3.Session(region_name=region)
    if place.role_arn is not None:
        external = {"ExternalId": place.external_id} if place.external_id else {}
        sts: Any = session.client("sts", config=_BOUNDED)
        given = sts.assume_role(
            RoleArn=place.role_arn,
            RoleSessionName=f"freehold-{slug}"[:64],
            DurationSeconds=_SESSION_S,
            **external,
        )["Credentials"]
        session = boto3.Session(
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
            region_name=region,
        )
    account = Account(session, region, slug, name_of(slug))
    # In another account nothing would be found, whatever is left in the right one.
    found = account.client("sts").get_caller_identity()["Account"]
    if found != place.account_id:
        raise WrongAccount(f"signed in to the account {found}, but the tenant is in {place.account_id}")
    return account


def tags_of(listed: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    """From AWS's lists of {Key, Value}, in either spelling, such as KMS's."""
    return {
        each.get("Key") or each.get("TagKey") or each["key"]: each.get("Value")
        or each.get("TagValue")
        or each.get("value")
        or ""
        for each in listed or ()
    }


def denied(error: ClientError) -> bool:
    return error.response.get("Error", {}).get("Code") in DENIED


def failure_words(error: Exception) -> str:
    """An answer of AWS in its own words, bounded; a fault of ours by its kind alone."""
    if isinstance(error, ClientError):
        said = error.response.get("Error", {})
        return f"{said.get('Code', 'an error')} ({str(said.get('Message', ''))[:200]})"
    if isinstance(error, BotoCoreError | WrongAccount):
        return str(error)[:200]
    return type(error).__name__
