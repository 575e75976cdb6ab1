"""ElastiCache for Valkey: wake-ups and rate limits, never the truth."""

import pulumi
import pulumi_aws as aws

from contracts.stack import CacheSize, ComponentOutput
from stacks.components.aws.door import store_door
from stacks.components.aws.network import AwsNetwork
from stacks.components.aws.site import AwsSite

PORT = 6379
VERSION, FAMILY = "8.0", "valkey8"
#: ElastiCache's own limit on the name of a replication group.
_NAME_LIMIT = 40


class AwsCache(pulumi.ComponentResource):
    """`url` is secret: it holds the password, and speaks TLS."""

    url: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        size: CacheSize,
        site: AwsSite,
        network: AwsNetwork,
        *,
        clients: pulumi.Output[str],
        key_arn: pulumi.Output[str],
        password: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("freehold:aws:Cache", name, None, opts)
        self._size, self._name = size, site.name(name, limit=_NAME_LIMIT)
        tags = site.tags(self._name)
        subnets = aws.elasticache.SubnetGroup(
            f"{name}-subnets",
            name=self._name,
            description=f"Private subnets of {site.slug}",
            subnet_ids=network.subnet_ids,
            tags=tags,
            opts=site.options(self),
        )
        parameters = aws.elasticache.ParameterGroup(
            f"{name}-parameters",
            name=self._name,
            family=FAMILY,
            description=f"Valkey of {site.slug}",
            # A wake-up that was dropped to make room is a run that waits: an error is better.
            parameters=[{"name": "maxmemory-policy", "value": "noeviction"}],
            tags=tags,
            opts=site.options(self),
        )
        group = store_door(name, site, self, network, clients=clients, port=PORT, what="Valkey", tags=tags)
        token = pulumi.Output.secret(password)
        valkey = aws.elasticache.ReplicationGroup(
            name,
            replication_group_id=self._name,
            description=f"Valkey of {site.slug}",
            engine="valkey",
            engine_version=VERSION,
            node_type=size.node_type,
            num_cache_clusters=1 + size.replicas,
            automatic_failover_enabled=size.replicas > 0,
            multi_az_enabled=size.replicas > 0,
            port=PORT,
            subnet_group_name=subnets.name,
            parameter_group_name=parameters.name,
            security_group_ids=[group],
            at_rest_encryption_enabled=True,
            kms_key_id=key_arn,
            transit_encryption_enabled=True,
            transit_encryption_mode="required",
            auth_token=token,
            # The old password stays good beside the new one until the one after: nobody is cut off.
            auth_token_update_strategy="ROTATE",  # noqa: S106 - a strategy
            auto_minor_version_upgrade="true",
            apply_immediately=True,
            snapshot_retention_limit=1,
            tags=tags,
            opts=site.options(self),
        )
        self.url = pulumi.Output.secret(
            pulumi.Output.all(token, valkey.primary_endpoint_address).apply(
                lambda known: f"rediss://:{known[0]}@{known[1]}:{PORT}/0"
            )
        )
        self.register_outputs({"url": self.url})

    def describe(self) -> ComponentOutput:
        size = self._size
        copies = f", {size.replicas} replicas" if size.replicas else ""
        return ComponentOutput(
            name="cache",
            kind="cache",
            summary=f"ElastiCache Valkey {VERSION}, {size.node_type}{copies}",
            details={"identifier": self._name, "node_type": size.node_type, "replicas": size.replicas},
        )
