"""A plan that loses data says so."""

from collections.abc import Iterator

from contracts.planned import STATEFUL_RULE
from stacks.policy.model import Planned, Violation, rule

#: Resource types that hold a tenant's data: losing one loses data.
STATEFUL_TYPES = frozenset(
    {
        "local:index:PostgresServer",
        "local:index:RedisServer",
        "local:index:DataDirectory",
        "aws:rds/instance:Instance",
        "aws:rds/cluster:Cluster",
        "aws:elasticache/replicationGroup:ReplicationGroup",
        "aws:s3/bucket:Bucket",
        "aws:kms/key:Key",
        "aws:ebs/volume:Volume",
        "aws:efs/fileSystem:FileSystem",
        "kubernetes:core/v1:PersistentVolumeClaim",
        "kubernetes:core/v1:PersistentVolume",
        "kubernetes:core/v1:Namespace",
        "kubernetes:apps/v1:StatefulSet",
    }
)


@rule(STATEFUL_RULE, "warn")
def stateful_kept(plan: Planned) -> Iterator[Violation]:
    """A replaced or deleted store, key, volume or namespace loses data; whether a person must agree is the plan's
    approval rule."""
    for resource in plan.resources:
        if resource.op in ("replace", "delete") and resource.type in STATEFUL_TYPES:
            yield Violation(resource, f"{resource.op} loses the data it holds")
