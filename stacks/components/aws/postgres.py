"""RDS for Postgres: the tenant's relational store. AWS makes and keeps the password; we never see it."""

import pulumi
import pulumi_aws as aws

from contracts.stack import ComponentOutput, PostgresSize
from stacks.components.aws.door import store_door
from stacks.components.aws.network import AwsNetwork
from stacks.components.aws.site import AwsSite

PORT = 5432
DATABASE = "agents"
OWNER = "freehold"
VERSION, FAMILY = "17", "postgres17"
_BACKUP_DAYS, _BACKUP_DAYS_AVAILABLE = 7, 14


class AwsPostgres(pulumi.ComponentResource):
    """`host` and `secret_arn` (in Secrets Manager: username and password, rotated by RDS)."""

    host: pulumi.Output[str]
    secret_arn: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        size: PostgresSize,
        site: AwsSite,
        network: AwsNetwork,
        *,
        clients: pulumi.Output[str],
        key_arn: pulumi.Output[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("freehold:aws:Postgres", name, None, opts)
        self._size, self._name = size, site.name(name)
        tags = site.tags(self._name)
        subnets = aws.rds.SubnetGroup(
            f"{name}-subnets",
            name=self._name,
            description=f"Private subnets of {site.slug}",
            subnet_ids=network.subnet_ids,
            tags=tags,
            opts=site.options(self),
        )
        parameters = aws.rds.ParameterGroup(
            f"{name}-parameters",
            name=self._name,
            family=FAMILY,
            description=f"Postgres of {site.slug}",
            parameters=[
                {"name": "rds.force_ssl", "value": "1", "apply_method": "immediate"},
                {
                    "name": "max_connections",
                    "value": str(size.max_connections),
                    "apply_method": "pending-reboot",
                },
            ],
            tags=tags,
            opts=site.options(self),
        )
        group = store_door(name, site, self, network, clients=clients, port=PORT, what="Postgres", tags=tags)
        instance = aws.rds.Instance(
            name,
            identifier=self._name,
            engine="postgres",
            engine_version=VERSION,
            instance_class=size.instance_class,
            allocated_storage=size.storage_gb,
            # Grows by itself before it is full, up to twice what was planned: a full disk is an outage.
            max_allocated_storage=2 * size.storage_gb,
            storage_type="gp3",
            storage_encrypted=True,
            kms_key_id=key_arn,
            db_name=DATABASE,
            username=OWNER,
            manage_master_user_password=True,
            master_user_secret_kms_key_id=key_arn,
            iam_database_authentication_enabled=True,
            port=PORT,
            multi_az=size.high_availability,
            publicly_accessible=False,
            db_subnet_group_name=subnets.name,
            parameter_group_name=parameters.name,
            vpc_security_group_ids=[group],
            backup_retention_period=_BACKUP_DAYS_AVAILABLE if size.high_availability else _BACKUP_DAYS,
            copy_tags_to_snapshot=True,
            auto_minor_version_upgrade=True,
            # A change was approved by a person or a rule: it is made when it is applied, not at night.
            apply_immediately=True,
            deletion_protection=not site.teardown,
            skip_final_snapshot=False,
            # A later tenant of the same slug must not find its name taken.
            final_snapshot_identifier=f"{self._name}-final-{site.tenant_id[:8]}",
            delete_automated_backups=True,
            tags=tags,
            opts=site.options(self),
        )
        self.host = instance.address
        self.secret_arn = instance.master_user_secrets.apply(_secret_arn)
        self.register_outputs({"host": self.host})

    def describe(self) -> ComponentOutput:
        size = self._size
        zones = "two zones" if size.high_availability else "one zone"
        return ComponentOutput(
            name="postgres",
            kind="postgres",
            summary=f"RDS Postgres {VERSION}, {size.instance_class}, {size.storage_gb} GB, {zones}",
            details={
                "identifier": self._name,
                "instance_class": size.instance_class,
                "storage_gb": size.storage_gb,
                "high_availability": size.high_availability,
            },
        )


def _secret_arn(secrets: object) -> str:
    assert isinstance(secrets, list)
    first = secrets[0]
    return str(first["secret_arn"] if isinstance(first, dict) else first.secret_arn)
