"""What a tenant stores is encrypted where it lies and where it travels."""

from collections.abc import Iterator

from stacks.policy.model import Planned, Violation, rule
from stacks.reading import at, is_unknown, many

#: Type -> input that must be true.
_AT_REST = {
    "aws:rds/instance:Instance": "storageEncrypted",
    "aws:rds/cluster:Cluster": "storageEncrypted",
    "aws:elasticache/replicationGroup:ReplicationGroup": "atRestEncryptionEnabled",
    "aws:ebs/volume:Volume": "encrypted",
    "aws:efs/fileSystem:FileSystem": "encrypted",
}
_BUCKET = "aws:s3/bucket:Bucket"
_BUCKET_ENCRYPTION = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"


@rule("stores-encrypted", "deny")
def stores_encrypted(plan: Planned) -> Iterator[Violation]:
    """Databases, caches, volumes, buckets and the cluster's Secrets are encrypted at rest."""
    for resource in plan.wanted(*_AT_REST):
        name = _AT_REST[resource.type]
        value = (resource.after or {}).get(name)
        if is_unknown(value):
            yield Violation(
                resource, f"whether it is encrypted is known after the apply (`{name}`)", undecided=True
            )
        elif value is not True:
            yield Violation(resource, f"it is not encrypted at rest (`{name}`)")
    for template in plan.wanted("aws:ec2/launchTemplate:LaunchTemplate"):
        for device in many((template.after or {}).get("blockDeviceMappings")):
            encrypted = at(device, "ebs", "encrypted")
            if at(device, "ebs") is not None and str(encrypted).lower() != "true":
                yield Violation(
                    template, f"volume {at(device, 'deviceName')} of its machines is not encrypted"
                )
    for cluster in plan.wanted("aws:eks/cluster:Cluster"):
        if "secrets" not in many(at(cluster.after, "encryptionConfig", "resources")):
            yield Violation(cluster, "its Secrets are not encrypted by a key of ours (`encryptionConfig`)")
    yield from _buckets(plan)


def _buckets(plan: Planned) -> Iterator[Violation]:
    """A bucket is named by the configuration that encrypts it; one of an unknown name may be any bucket's."""
    named = [at(each.after, "bucket") for each in plan.wanted(_BUCKET_ENCRYPTION)]
    unknown = sum(1 for name in named if name is None or is_unknown(name))
    for bucket in plan.wanted(_BUCKET):
        name = at(bucket.after, "bucket")
        if name in named and not is_unknown(name):
            continue
        if unknown:
            unknown -= 1
            continue
        yield Violation(bucket, "no encryption by a key of ours is configured for the bucket")


@rule("transit-encrypted", "deny")
def transit_encrypted(plan: Planned) -> Iterator[Violation]:
    """Caches speak TLS, and a database does not let unencrypted connections in."""
    for cache in plan.wanted("aws:elasticache/replicationGroup:ReplicationGroup"):
        if at(cache.after, "transitEncryptionEnabled") is not True:
            yield Violation(cache, "connections to it are not encrypted (`transitEncryptionEnabled`)")
    for group in plan.wanted("aws:rds/parameterGroup:ParameterGroup"):
        for parameter in many(at(group.after, "parameters")):
            if at(parameter, "name") == "rds.force_ssl" and str(at(parameter, "value")) != "1":
                yield Violation(group, "it lets unencrypted connections in (`rds.force_ssl`)")
