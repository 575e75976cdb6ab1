"""The target `aws`: a network, an EKS cluster with the tenant's own GPU nodes, RDS, ElastiCache, a bucket and a key,
in our account or in the customer's (docs/guides/cloud-targets.md)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s

from contracts.gpus import GPUS_OF_INSTANCE
from contracts.placement import AwsPlacement
from contracts.stack import BillableResource, Existing, StackOutputs, StackSecrets, StackSpec
from stacks.components.aws.bucket import AwsBucket
from stacks.components.aws.cache import PORT as CACHE_PORT
from stacks.components.aws.cache import AwsCache
from stacks.components.aws.cluster import AFTER_NODES, AwsCluster
from stacks.components.aws.identity import PodIdentity
from stacks.components.aws.key import AwsKey
from stacks.components.aws.network import AwsNetwork
from stacks.components.aws.nodes import AwsNodes, gpu_nodes
from stacks.components.aws.postgres import DATABASE, AwsPostgres
from stacks.components.aws.postgres import PORT as POSTGRES_PORT
from stacks.components.aws.site import AwsSite, document, statement
from stacks.components.cluster.model_server import DevicePlugin
from stacks.components.cluster.namespace import HTTPS, ClusterNamespace, Way
from stacks.components.cluster.runtime import HTTP, Balancer
from stacks.components.cluster.site import ClusterSite
from stacks.components.cluster.storage import TenantVolumes
from stacks.components.cluster.tenant import RUNTIME, VECTORS, ClusterTenant, TenantArgs, namespace_args
from stacks.components.cluster.vector_store import VectorStoreArgs
from stacks.components.passwords import Passwords
from stacks.errors import TargetUnknown
from stacks.reading import at, many
from stacks.targets.billable import cluster_billable, existing_of, stores_billable
from stacks.targets.checks import aws_check

POSTGRES, CACHE = "postgres", "cache"
#: Slots of the meter database_hours: a part keeps its slot for ever, as its spans must not overlap.
STORES = {POSTGRES: 0, VECTORS: 1, CACHE: 2}
#: RDS's certificates as the runtime's image holds them.
_RDS_AUTHORITIES = "/etc/ssl/certs/rds-global-bundle.pem"
_NLB = "service.beta.kubernetes.io/aws-load-balancer"


def program(spec: StackSpec, secrets: StackSecrets) -> Callable[[], None]:
    """The inline program. Exports `outputs` (a StackOutputs), `postgres_host` and `postgres_secret_arn`, and as
    secrets `redis_url`, `vector_url` and `runtime_admin_key`. TargetUnknown without a placement, InputInvalid naming
    each field that cannot be.
    """
    place = _placement(spec)
    aws_check(spec, place)
    passwords = Passwords(spec, secrets)

    def build() -> None:
        site = _site(spec, place)
        key = AwsKey("key", site)
        network = AwsNetwork("network", site, key_arn=key.arn)
        cluster = AwsCluster("cluster", site, network, key_arn=key.arn)
        nodes = AwsNodes("nodes", spec.gpu, site, network, cluster, key_arn=key.arn)
        bucket = AwsBucket("snapshots", site, key_arn=key.arn)
        clients = cluster.security_group_id
        postgres = AwsPostgres(POSTGRES, spec.postgres, site, network, clients=clients, key_arn=key.arn)
        cache = AwsCache(
            CACHE,
            spec.cache,
            site,
            network,
            clients=clients,
            key_arn=key.arn,
            password=passwords.of(CACHE),
        )
        volumes_identity = PodIdentity(
            "volumes",
            site,
            cluster,
            namespace="kube-system",
            account="ebs-csi-controller-sa",
            managed_policy=site.managed_policy("service-role/AmazonEBSCSIDriverPolicy"),
            policy=key.arn.apply(_encrypts_volumes),
        )
        addons = cluster.addons(AFTER_NODES, [*nodes.ready, volumes_identity.association])
        inside = _cluster_site(spec, place, cluster, nodes, addons)
        _workloads(spec, secrets, passwords, site, inside, cluster, key, bucket, postgres, cache)

    return build


def existing(resources: Sequence[Mapping[str, Any]]) -> Existing:
    """What costs and runs now, by the resources of an exported state: for an apply that never came to its outputs."""
    found = existing_of(resources, STORES)
    stores = {
        "aws:rds/instance:Instance": POSTGRES,
        "aws:elasticache/replicationGroup:ReplicationGroup": CACHE,
    }
    there = {name for kind, name in stores.items() for each in resources if each.get("type") == kind}
    billable = [each for each in found.billable if each.meter != "gpu_hours"]
    billable += stores_billable({name: STORES[name] for name in sorted(there)})
    billable += [gpu for resource in resources for gpu in _node_group_gpus(resource)]
    return found.model_copy(update={"billable": billable})


def _placement(spec: StackSpec) -> AwsPlacement:
    if spec.aws is None:
        raise TargetUnknown(
            f"the spec of tenant {spec.slug} has no `aws` placement: the target aws needs an account and a network"
        )
    return spec.aws


def _site(spec: StackSpec, place: AwsPlacement) -> AwsSite:
    role = None
    if place.role_arn is not None:
        role = [
            # A provider's settings travel as JSON: only the typed form is written under the provider's own names.
            aws.ProviderAssumeRoleArgs(
                role_arn=place.role_arn,
                external_id=place.external_id,
                session_name=f"freehold-{spec.slug}"[:64],
            )
        ]
    return AwsSite(
        slug=spec.slug,
        plan=spec.plan,
        stack=spec.stack_name,
        tenant_id=spec.tenant_id.hex,
        region=spec.region,
        place=place,
        provider=aws.Provider(
            "account",
            region=spec.region,
            # Credentials of another account, left in the environment by mistake, change nothing.
            allowed_account_ids=[place.account_id],
            assume_roles=role,
        ),
        suspended=spec.suspended,
        teardown=spec.teardown,
    )


def _cluster_site(
    spec: StackSpec,
    place: AwsPlacement,
    cluster: AwsCluster,
    nodes: AwsNodes,
    addons: Sequence[pulumi.Resource],
) -> ClusterSite:
    provider = k8s.Provider(
        "cluster-access",
        kubeconfig=cluster.kubeconfig,
        enable_server_side_apply=True,
        # New passwords change objects in place: by default the provider makes each anew.
        enable_secret_mutable=True,
        enable_config_map_mutable=True,
        # The stack is the truth: what was changed by hand is put right, not argued about.
        enable_patch_force=True,
        # What is in the cluster goes before its machines and add-ons: whoever ends objects and volumes runs there.
        opts=pulumi.ResourceOptions(depends_on=[*cluster.access, *nodes.ready, *addons]),
    )
    return ClusterSite(
        slug=spec.slug,
        plan=spec.plan,
        settings=place.cluster,
        provider=provider,
        credentials=spec.credentials,
        suspended=spec.suspended,
    )


def _workloads(
    spec: StackSpec,
    secrets: StackSecrets,
    passwords: Passwords,
    site: AwsSite,
    inside: ClusterSite,
    cluster: AwsCluster,
    key: AwsKey,
    bucket: AwsBucket,
    postgres: AwsPostgres,
    cache: AwsCache,
) -> None:
    place = site.place
    volumes = TenantVolumes("volumes", inside, key_arn=key.arn, tags=site.tags(site.name("volume")))
    namespace = ClusterNamespace(
        "namespace",
        namespace_args(spec, inside, store_gb=[], balancers=1),
        inside,
        pulumi.ResourceOptions(depends_on=volumes.ready),
    )
    if spec.gpu.count:
        DevicePlugin("nvidia-device-plugin", inside)
    identities = [
        PodIdentity(
            RUNTIME,
            site,
            cluster,
            namespace=inside.namespace,
            account=RUNTIME,
            policy=pulumi.Output.all(postgres.secret_arn, key.arn).apply(lambda arns: _reads_password(*arns)),
        ),
    ]
    vectors = VectorStoreArgs(spec.vector_store, backup_bucket=bucket.name, backup_region=spec.region)
    if vectors.kind == "weaviate":
        identities.append(
            PodIdentity(
                VECTORS,
                site,
                cluster,
                namespace=inside.namespace,
                account=VECTORS,
                policy=pulumi.Output.all(bucket.arn, key.arn).apply(lambda arns: _writes_backups(*arns)),
            )
        )
    # A pod that starts before its identity is known gets none until it starts again.
    namespace.ready += [identity.association for identity in identities]
    tenant = ClusterTenant(
        spec,
        secrets,
        TenantArgs(
            store_secrets={"redis_url": cache.url},
            vectors=vectors,
            environment={
                "AWS_REGION": spec.region,
                "RUNTIME_DATABASE_HOST": postgres.host,
                "RUNTIME_DATABASE_PORT": str(POSTGRES_PORT),
                "RUNTIME_DATABASE_NAME": DATABASE,
                "RUNTIME_DATABASE_SECRET_ARN": postgres.secret_arn,
                "RUNTIME_DATABASE_CA_FILE": _RDS_AUTHORITIES,
            },
            ways=[
                Way(RUNTIME, POSTGRES_PORT, [place.vpc_cidr]),
                Way(RUNTIME, CACHE_PORT, [place.vpc_cidr]),
                # The endpoints of Secrets Manager, STS and S3, and the node's agent of Pod Identity.
                Way(RUNTIME, HTTPS, [place.vpc_cidr]),
                Way(RUNTIME, HTTP, ["169.254.170.23/32"]),
                Way(VECTORS, HTTPS, [place.vpc_cidr]),
                Way(VECTORS, HTTP, ["169.254.170.23/32"]),
            ],
            balancer=_balancer(site),
            entrances=[place.vpc_cidr],
        ),
        inside,
        passwords,
        namespace,
    )
    outputs = StackOutputs(
        runtime_url=tenant.runtime.url,
        components=[
            postgres.describe(),
            cache.describe(),
            tenant.vectors.describe(),
            tenant.describe_gpus(where=f"in {spec.gpu.instance_type}", nodes=gpu_nodes(spec.gpu)),
            tenant.runtime.describe(),
        ],
        billable=[
            *stores_billable(STORES),
            *cluster_billable(spec.gpu.count, suspended=spec.suspended, model=spec.gpu.instance_type),
        ],
    )
    pulumi.export("outputs", outputs.model_dump(mode="json"))
    pulumi.export("postgres_host", postgres.host)
    pulumi.export("postgres_secret_arn", postgres.secret_arn)
    pulumi.export("redis_url", cache.url)
    pulumi.export("vector_url", tenant.vectors.url)
    pulumi.export("runtime_admin_key", pulumi.Output.secret(secrets.runtime_admin_key))


def _balancer(site: AwsSite) -> Balancer:
    annotations = {
        f"{_NLB}-type": "nlb",
        f"{_NLB}-internal": "true",
        f"{_NLB}-additional-resource-tags": ",".join(
            f"{key}={value}" for key, value in site.tags(site.name(RUNTIME)).items()
        ),
    }
    if site.place.certificate_arn is None:
        return Balancer(annotations, HTTP)
    annotations |= {f"{_NLB}-ssl-cert": site.place.certificate_arn, f"{_NLB}-ssl-ports": str(HTTPS)}
    return Balancer(annotations, HTTPS)


def _reads_password(secret_arn: str, key_arn: str) -> str:
    return document(
        statement(["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"], [secret_arn]),
        statement(["kms:Decrypt"], [key_arn]),
    )


def _writes_backups(bucket_arn: str, key_arn: str) -> str:
    return document(
        statement(["s3:ListBucket", "s3:GetBucketLocation"], [bucket_arn]),
        statement(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], [f"{bucket_arn}/weaviate/*"]),
        statement(["kms:Decrypt", "kms:GenerateDataKey"], [key_arn]),
    )


def _encrypts_volumes(key_arn: str) -> str:
    return document(
        statement(
            ["kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext", "kms:DescribeKey", "kms:ReEncrypt*"],
            [key_arn],
        ),
        statement(["kms:CreateGrant"], [key_arn], condition={"Bool": {"kms:GrantIsForAWSResource": "true"}}),
    )


def _node_group_gpus(resource: Mapping[str, Any]) -> list[BillableResource]:
    if resource.get("type") != "aws:eks/nodeGroup:NodeGroup":
        return []
    labels = at(resource, "inputs", "labels") or {}
    kinds = many(at(resource, "inputs", "instanceTypes")) or [labels.get("freehold.dev/instance-type")]
    each = GPUS_OF_INSTANCE.get(str(kinds[0]), 0)
    nodes = int(at(resource, "inputs", "scalingConfig", "desiredSize") or 0)
    found = cluster_billable(nodes * each, suspended=False, model=str(kinds[0]))
    return [one for one in found if one.meter == "gpu_hours"]
