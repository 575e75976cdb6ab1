"""A program with every type that the stand-in for AWS knows, as one tenant's stack might have them."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws

ZONES = ("eu-central-1a", "eu-central-1b", "eu-central-1c")
SLUG = "acme"


@dataclass(frozen=True)
class Wanted:
    """What the tests change from one run to the next."""

    instance_class: str = "db.t4g.medium"
    storage_gb: int = 20
    engine: str = "postgres"
    db_name: str = "tenant"
    deletion_protection: bool = False
    gpu_type: str = "g6.xlarge"
    gpu_nodes: int = 1
    gpu_labels: dict[str, str] = field(default_factory=lambda: {"freehold.dev/tenant": SLUG})
    cache_nodes: int = 1
    log_days: int = 30
    disk_gb: int = 100
    plan: str = "starter"


def trust(service: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def allow(action: str, resource: str) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def aws_program(wanted: Wanted) -> Callable[[], None]:
    def program() -> None:
        provider = aws.Provider(
            "aws",
            region="eu-central-1",
            allowed_account_ids=["123456789012"],
            default_tags={"tags": {"freehold:tenant": SLUG, "freehold:plan": wanted.plan}},
        )
        opts = pulumi.ResourceOptions(provider=provider)
        key = _key(opts)
        network = _network(opts, key, wanted)
        _cluster(opts, key, network, wanted)
        _databases(opts, key, network, wanted)
        _storage(opts, key)

    return program


def _key(opts: pulumi.ResourceOptions) -> aws.kms.Key:
    key = aws.kms.Key("key", enable_key_rotation=True, deletion_window_in_days=7, opts=opts)
    aws.kms.Alias("alias", name=f"alias/freehold-{SLUG}", target_key_id=key.key_id, opts=opts)
    pulumi.export("key", key.arn)
    return key


def _network(opts: pulumi.ResourceOptions, key: aws.kms.Key, wanted: Wanted) -> dict[str, Any]:
    vpc = aws.ec2.Vpc(
        "vpc", cidr_block="10.20.0.0/16", enable_dns_hostnames=True, tags={"Name": SLUG}, opts=opts
    )
    table = aws.ec2.RouteTable("table", vpc_id=vpc.id, opts=opts)
    subnets = []
    for number, zone in enumerate(ZONES):
        subnet = aws.ec2.Subnet(
            f"subnet-{number}",
            vpc_id=vpc.id,
            cidr_block=f"10.20.{number}.0/24",
            availability_zone=zone,
            opts=opts,
        )
        aws.ec2.RouteTableAssociation(
            f"association-{number}", subnet_id=subnet.id, route_table_id=table.id, opts=opts
        )
        subnets.append(subnet.id)
    group = aws.ec2.SecurityGroup("data", name=f"{SLUG}-data", description="data", vpc_id=vpc.id, opts=opts)
    aws.vpc.SecurityGroupIngressRule(
        "from-vpc",
        security_group_id=group.id,
        ip_protocol="tcp",
        from_port=5432,
        to_port=5432,
        cidr_ipv4="10.20.0.0/16",
        opts=opts,
    )
    gateway = aws.ec2.VpcEndpoint(
        "s3",
        vpc_id=vpc.id,
        service_name="com.amazonaws.eu-central-1.s3",
        vpc_endpoint_type="Gateway",
        route_table_ids=[table.id],
        opts=opts,
    )
    aws.vpc.SecurityGroupEgressRule(
        "to-s3",
        security_group_id=group.id,
        ip_protocol="tcp",
        from_port=443,
        to_port=443,
        prefix_list_id=gateway.prefix_list_id,
        opts=opts,
    )
    aws.ec2.VpcEndpoint(
        "sts",
        vpc_id=vpc.id,
        service_name="com.amazonaws.eu-central-1.sts",
        vpc_endpoint_type="Interface",
        subnet_ids=subnets,
        security_group_ids=[group.id],
        private_dns_enabled=True,
        opts=opts,
    )
    logs = aws.cloudwatch.LogGroup(
        "flow",
        name=f"/freehold/{SLUG}/flow",
        retention_in_days=wanted.log_days,
        kms_key_id=key.arn,
        opts=opts,
    )
    role = aws.iam.Role(
        "flow", name=f"{SLUG}-flow", assume_role_policy=trust("vpc-flow-logs.amazonaws.com"), opts=opts
    )
    aws.iam.RolePolicy(
        "flow",
        name="write",
        role=role.name,
        policy=logs.arn.apply(lambda arn: allow("logs:PutLogEvents", f"{arn}:*")),
        opts=opts,
    )
    aws.ec2.FlowLog(
        "flow",
        vpc_id=vpc.id,
        traffic_type="ALL",
        log_destination=logs.arn,
        log_destination_type="cloud-watch-logs",
        iam_role_arn=role.arn,
        max_aggregation_interval=60,
        opts=opts,
    )
    return {"vpc": vpc, "subnets": subnets, "group": group}


def _cluster(opts: pulumi.ResourceOptions, key: aws.kms.Key, network: dict[str, Any], wanted: Wanted) -> None:
    role = aws.iam.Role(
        "cluster", name=f"{SLUG}-cluster", assume_role_policy=trust("eks.amazonaws.com"), opts=opts
    )
    attached = aws.iam.RolePolicyAttachment(
        "cluster", role=role.name, policy_arn="arn:aws:iam::aws:policy/AmazonEKSClusterPolicy", opts=opts
    )
    cluster = aws.eks.Cluster(
        "cluster",
        name=SLUG,
        role_arn=role.arn,
        version="1.33",
        vpc_config={
            "subnet_ids": network["subnets"],
            "endpoint_private_access": True,
            "endpoint_public_access": False,
        },
        access_config={"authentication_mode": "API", "bootstrap_cluster_creator_admin_permissions": False},
        encryption_config={"provider": {"key_arn": key.arn}, "resources": ["secrets"]},
        enabled_cluster_log_types=["api", "audit"],
        upgrade_policy={"support_type": "STANDARD"},
        deletion_protection=wanted.deletion_protection,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[attached])),
    )
    nodes = aws.iam.Role(
        "node", name=f"{SLUG}-node", assume_role_policy=trust("ec2.amazonaws.com"), opts=opts
    )
    reservation = aws.ec2.CapacityReservation(
        "gpus",
        availability_zone=ZONES[0],
        instance_type=wanted.gpu_type,
        instance_count=1,
        instance_platform="Linux/UNIX",
        instance_match_criteria="targeted",
        opts=opts,
    )
    template = aws.ec2.LaunchTemplate(
        "gpu",
        name=f"{SLUG}-gpu",
        update_default_version=True,
        block_device_mappings=[
            {
                "device_name": "/dev/xvda",
                "ebs": {"volume_size": wanted.disk_gb, "encrypted": "true", "kms_key_id": key.arn},
            }
        ],
        metadata_options={"http_tokens": "required", "http_put_response_hop_limit": 1},
        capacity_reservation_specification={
            "capacity_reservation_target": {"capacity_reservation_id": reservation.id}
        },
        tag_specifications=[{"resource_type": "instance", "tags": {"freehold:tenant": SLUG}}],
        opts=opts,
    )
    aws.eks.NodeGroup(
        "gpu",
        cluster_name=cluster.name,
        node_group_name="gpu",
        node_role_arn=nodes.arn,
        subnet_ids=network["subnets"],
        ami_type="AL2023_x86_64_NVIDIA",
        instance_types=[wanted.gpu_type],
        launch_template={"id": template.id, "version": template.latest_version.apply(str)},
        scaling_config={"min_size": 0, "desired_size": wanted.gpu_nodes, "max_size": 4},
        labels=wanted.gpu_labels,
        taints=[{"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}],
        opts=opts,
    )
    addon = aws.eks.Addon(
        "identity",
        cluster_name=cluster.name,
        addon_name="eks-pod-identity-agent",
        addon_version="v1.3.8-eksbuild.2",
        opts=opts,
    )
    entry = aws.eks.AccessEntry(
        "admin", cluster_name=cluster.name, principal_arn="arn:aws:iam::123456789012:role/admin", opts=opts
    )
    aws.eks.AccessPolicyAssociation(
        "admin",
        cluster_name=cluster.name,
        principal_arn=entry.principal_arn,
        policy_arn="arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
        access_scope={"type": "cluster"},
        opts=opts,
    )
    pod_role = aws.iam.Role(
        "pod", name=f"{SLUG}-pod", assume_role_policy=trust("pods.eks.amazonaws.com"), opts=opts
    )
    policy = aws.iam.Policy(
        "pod", name=f"{SLUG}-pod", policy=allow("s3:GetObject", "arn:aws:s3:::x/*"), opts=opts
    )
    aws.iam.RolePolicyAttachment("pod", role=pod_role.name, policy_arn=policy.arn, opts=opts)
    aws.eks.PodIdentityAssociation(
        "runtime",
        cluster_name=cluster.name,
        namespace="tenant",
        service_account="runtime",
        role_arn=pod_role.arn,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[addon])),
    )
    pulumi.export("authority", cluster.certificate_authority.data)
    pulumi.export("cluster_security_group", cluster.vpc_config.cluster_security_group_id)


def _databases(
    opts: pulumi.ResourceOptions, key: aws.kms.Key, network: dict[str, Any], wanted: Wanted
) -> None:
    group = aws.rds.SubnetGroup("db", name=f"{SLUG}-db", subnet_ids=network["subnets"], opts=opts)
    parameters = aws.rds.ParameterGroup(
        "db",
        name=f"{SLUG}-db",
        family="postgres16",
        parameters=[{"name": "rds.force_ssl", "value": "1"}],
        opts=opts,
    )
    database = aws.rds.Instance(
        "db",
        identifier=f"{SLUG}-db",
        engine=wanted.engine,
        engine_version="16.4",
        instance_class=wanted.instance_class,
        allocated_storage=wanted.storage_gb,
        db_name=wanted.db_name,
        username="owner",
        manage_master_user_password=True,
        master_user_secret_kms_key_id=key.arn,
        storage_encrypted=True,
        kms_key_id=key.arn,
        db_subnet_group_name=group.name,
        parameter_group_name=parameters.name,
        vpc_security_group_ids=[network["group"].id],
        backup_retention_period=7,
        deletion_protection=wanted.deletion_protection,
        final_snapshot_identifier=f"{SLUG}-db-final",
        opts=opts,
    )
    cache_group = aws.elasticache.SubnetGroup(
        "cache", name=f"{SLUG}-cache", subnet_ids=network["subnets"], opts=opts
    )
    cache_parameters = aws.elasticache.ParameterGroup(
        "cache", name=f"{SLUG}-cache", family="valkey8", opts=opts
    )
    user = aws.elasticache.User(
        "cache",
        user_id=f"{SLUG}-runtime",
        user_name="runtime",
        engine="valkey",
        access_string="on ~* +@all",
        passwords=[pulumi.Output.secret("a-password-of-the-cache")],
        opts=opts,
    )
    users = aws.elasticache.UserGroup(
        "cache", user_group_id=SLUG, engine="valkey", user_ids=[user.user_id], opts=opts
    )
    cache = aws.elasticache.ReplicationGroup(
        "cache",
        replication_group_id=SLUG,
        description="cache",
        engine="valkey",
        engine_version="8.0",
        node_type="cache.t4g.small",
        num_cache_clusters=wanted.cache_nodes,
        parameter_group_name=cache_parameters.name,
        subnet_group_name=cache_group.name,
        security_group_ids=[network["group"].id],
        user_group_ids=[users.user_group_id],
        transit_encryption_enabled=True,
        at_rest_encryption_enabled=True,
        kms_key_id=key.arn,
        opts=opts,
    )
    pulumi.export("database", database.endpoint)
    pulumi.export("database_secret", database.master_user_secrets[0].secret_arn)
    pulumi.export("cache", cache.primary_endpoint_address)


def _storage(opts: pulumi.ResourceOptions, key: aws.kms.Key) -> None:
    bucket = aws.s3.Bucket("snapshots", bucket=f"freehold-{SLUG}-snapshots", force_destroy=True, opts=opts)
    aws.s3.BucketVersioning(
        "snapshots", bucket=bucket.id, versioning_configuration={"status": "Enabled"}, opts=opts
    )
    aws.s3.BucketServerSideEncryptionConfiguration(
        "snapshots",
        bucket=bucket.id,
        rules=[
            {
                "apply_server_side_encryption_by_default": {
                    "sse_algorithm": "aws:kms",
                    "kms_master_key_id": key.arn,
                },
                "bucket_key_enabled": True,
            }
        ],
        opts=opts,
    )
    aws.s3.BucketPublicAccessBlock(
        "snapshots", bucket=bucket.id, block_public_acls=True, block_public_policy=True, opts=opts
    )
    aws.s3.BucketOwnershipControls(
        "snapshots", bucket=bucket.id, rule={"object_ownership": "BucketOwnerEnforced"}, opts=opts
    )
    aws.s3.BucketLifecycleConfiguration(
        "snapshots",
        bucket=bucket.id,
        rules=[
            {
                "id": "old",
                "status": "Enabled",
                "filter": {"prefix": "old/"},
                "expiration": {"days": 90},
                "noncurrent_version_expiration": {"noncurrent_days": 30},
            }
        ],
        opts=opts,
    )
    aws.s3.BucketPolicy(
        "snapshots",
        bucket=bucket.id,
        policy=bucket.arn.apply(lambda arn: allow("s3:GetObject", f"{arn}/*")),
        opts=opts,
    )
    secret = aws.secretsmanager.Secret(
        "keys", name=f"freehold/{SLUG}/keys", kms_key_id=key.arn, recovery_window_in_days=7, opts=opts
    )
    aws.secretsmanager.SecretVersion(
        "keys", secret_id=secret.id, secret_string=pulumi.Output.secret("the-key-of-the-runtime"), opts=opts
    )
