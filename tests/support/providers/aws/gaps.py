"""Everything that moto 5.2.5 does otherwise than AWS and that the stand-in makes up for, each with its cause.

`server_repair` mends moto itself where a call of it corrupts what it keeps; the rest works around what it lacks.
"""

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

from tests.support.providers.serving import Refused

if TYPE_CHECKING:
    from tests.support.providers.aws.account import Account

#: The store's kind for fields that moto accepts and forgets, by the resource's type and id.
FORGOTTEN = "forgotten"


def server_repair() -> None:
    """Called once in moto's own process, before it serves."""
    _replication_group_delete_ends()
    _subnet_group_survives_modify()
    _cluster_keeps_its_subnets()


def _replication_group_delete_ends() -> None:
    """moto leaves a deleted replication group `deleting` for ever, so its name can never be used again."""
    from moto.elasticache.models import ElastiCacheBackend

    begin = ElastiCacheBackend.delete_replication_group

    def delete(self: Any, replication_group_id: str, retain_primary_cluster: bool | None) -> Any:
        group = begin(self, replication_group_id, retain_primary_cluster)
        del self.replication_groups[replication_group_id]
        return group

    ElastiCacheBackend.delete_replication_group = delete  # type: ignore[method-assign]


def _subnet_group_survives_modify() -> None:
    """moto takes a DB subnet group out of its table to modify it and does not put it back."""
    from moto.rds.models import RDSBackend

    modify = RDSBackend.modify_db_subnet_group

    def put_back(self: Any, subnet_name: str, description: str, subnets: list[Any]) -> Any:
        group = modify(self, subnet_name, description, subnets)
        self.subnet_groups[subnet_name] = group
        return group

    RDSBackend.modify_db_subnet_group = put_back  # type: ignore[method-assign]


def _cluster_keeps_its_subnets() -> None:
    """moto replaces resourcesVpcConfig by the part that was sent, and so loses the subnets."""
    from moto.eks.models import EKSBackend

    update = EKSBackend.update_cluster_config

    def merged(
        self: Any, name: str, resources_vpc_config: dict[str, Any] | None, *rest: Any, **more: Any
    ) -> Any:
        cluster = self.clusters.get(name)
        if cluster is not None and resources_vpc_config:
            resources_vpc_config = cluster.resources_vpc_config | resources_vpc_config
        return update(self, name, resources_vpc_config, *rest, **more)

    EKSBackend.update_cluster_config = merged  # type: ignore[method-assign]


def forgotten_put(aws: "Account", kind: str, identifier: str, values: dict[str, Any]) -> None:
    """Keep fields that moto accepts and does not show again (each handler says which)."""
    kept = aws.get(f"{FORGOTTEN}:{kind}", identifier) or {}
    aws.put(f"{FORGOTTEN}:{kind}", identifier, kept | values)


def forgotten_get(aws: "Account", kind: str, identifier: str) -> dict[str, Any]:
    return aws.get(f"{FORGOTTEN}:{kind}", identifier) or {}


def forgotten_remove(aws: "Account", kind: str, identifier: str) -> None:
    aws.remove(f"{FORGOTTEN}:{kind}", identifier)


def key_id_of(key: str) -> str:
    """moto answers HTTP 500 when scheduling, enabling or tagging is asked by ARN."""
    return key.rsplit("/", 1)[-1]


def endpoint_is_gone(endpoint: dict[str, Any]) -> bool:
    """moto lists deleted VPC endpoints for ever."""
    return str(endpoint.get("State", "")).lower() in ("deleted", "deleting")


def trust_check(iam: Any, role_arn: str, external_id: str | None) -> None:
    """moto's STS lets everybody assume any role, with any external id; AWS asks the role's trust policy.

    `iam` is a client with the role's own credentials, as moto isolates accounts by them.
    """
    name = role_arn.rsplit("/", 1)[-1]
    denied = f"AccessDenied: not authorized to perform sts:AssumeRole on {role_arn}"
    try:
        trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    except ClientError as error:
        raise Refused(f"{denied} (the role does not exist)") from error
    document = json.loads(unquote(trust)) if isinstance(trust, str) else trust
    for statement in document.get("Statement", []):
        wanted = statement.get("Condition", {}).get("StringEquals", {}).get("sts:ExternalId")
        accepted = [wanted] if isinstance(wanted, str) else wanted
        if statement.get("Effect") == "Allow" and (accepted is None or external_id in accepted):
            return
    raise Refused(f"{denied} (its trust policy asks for another external id)")
