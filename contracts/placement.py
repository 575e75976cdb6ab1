"""Where a tenant's stack lives: what a target program would otherwise have to look up, pinned beforehand.

The control plane fills these from the installation's targets file (docs/guides/cloud-targets.md) and the tenant's
own overrides; a program reads nothing else (design.md section 5).
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from contracts.base import Contract

Port = Annotated[int, Field(ge=1024, le=65535)]
#: An image named by digest: a tag can be moved to another image.
Image = Annotated[str, Field(pattern=r"^[^\s@]+@sha256:[0-9a-f]{64}$")]
#: An IPv4 network in CIDR notation; the programs check what it must hold (stacks/targets/checks.py).
Cidr = Annotated[str, Field(pattern=r"^\d{1,3}(\.\d{1,3}){3}/\d{1,2}$")]


class LocalPorts(Contract):
    postgres: Port
    cache: Port
    vector_store: Port
    runtime: Port


class LocalPlacement(Contract):
    """Where on this machine the tenant lives. `data_dir` is absolute and belongs to this tenant alone."""

    data_dir: str
    gpu_registry_dir: str
    ports: LocalPorts


class Images(Contract):
    """What runs in a cluster, each by digest. `postgres` holds the pgvector extension."""

    runtime: Image
    model_server: Image
    weaviate: Image
    qdrant: Image
    postgres: Image
    valkey: Image
    device_plugin: Image


class ServedModel(Contract):
    """The model that the tenant's GPUs serve with vLLM; `revision` pins its files (a commit of its repository).

    `max_model_len` is in tokens, `cache_gb` the size of the volume that holds the files between starts.
    """

    name: str
    revision: str
    gpus_per_replica: Annotated[int, Field(ge=1, le=8)] = 1
    """GPUs that one copy of the model is spread over (vLLM's tensor parallel size)."""
    max_model_len: Annotated[int, Field(ge=512, le=10_000_000)] = 8192
    cache_gb: Annotated[int, Field(ge=1, le=16384)] = 100


class ClusterSettings(Contract):
    """What is the same in every Kubernetes cluster that holds a tenant, its own or a shared one."""

    images: Images
    model: ServedModel | None = None
    """None: the runtime uses `RuntimeConfig.model_base_url`, or the offline stand-in."""
    storage_class: str
    control_plane_cidrs: list[Cidr]
    """Where the runtime sends its usage, and from where its door is probed: the only networks outside the stack that
    its NetworkPolicies let it speak to."""
    model_cidrs: list[Cidr] = []
    """Where the model server fetches its files from, or a vendor's API answers; none: it may not."""
    runtime_domain: str | None = None
    """The runtime answers at https://<slug>.<runtime_domain>; None: at its Service's name inside the cluster."""


class KubernetesPlacement(Contract):
    """An existing cluster. Its GPU nodes for this tenant bear the label and the taint `freehold.dev/tenant=<slug>`."""

    kubeconfig: str
    """Absolute path of a kubeconfig file; its credentials stay out of the stack's state."""
    context: str | None = None
    cluster: ClusterSettings


#: EKS add-ons that a tenant's cluster cannot do without.
AWS_ADDONS: Final = (
    "vpc-cni", "kube-proxy", "coredns", "eks-pod-identity-agent", "aws-ebs-csi-driver", "metrics-server",
)  # fmt: skip


class AwsPlacement(Contract):
    """An AWS account and a region's network. `role_arn` with `external_id`: the stack lives in the customer's own
    account, and the provider assumes that role there (bring your own cloud)."""

    account_id: Annotated[str, Field(pattern=r"^\d{12}$")]
    role_arn: str | None = None
    external_id: Annotated[str | None, Field(min_length=2, max_length=1224)] = None
    zones: list[str]
    """Three availability zones of the region."""
    vpc_cidr: Cidr
    kubernetes_version: Annotated[str, Field(pattern=r"^1\.\d{2}$")]
    addons: dict[str, str]
    """EKS add-on -> its version; all of AWS_ADDONS must be named."""
    administrators: list[str]
    """ARNs of IAM roles that may administer the cluster; the control plane's own must be among them."""
    system_instance_type: str = "m7i.large"
    cost_center: str
    transit_gateway_id: Annotated[str | None, Field(pattern=r"^tgw-[0-9a-f]{8,17}$")] = None
    """By which the control plane's networks are reached: the cluster's API server has no public address. None: the
    operator connects the VPC in another way before the first operation needs it."""
    certificate_arn: Annotated[str | None, Field(pattern=r"^arn:aws[a-z-]*:acm:")] = None
    """With it the runtime's internal load balancer speaks TLS."""
    offered_instance_types: list[str] | None = None
    """What the three zones offer, as AWS told the control plane; None: not asked, AWS itself refuses."""
    gpu_vcpu_quota: Annotated[int | None, Field(ge=0)] = None
    """The account's quota of running on-demand machines with GPUs in vCPUs; None: not asked."""
    cluster: ClusterSettings


CapacityType = Literal["on_demand", "spot", "capacity_block"]
