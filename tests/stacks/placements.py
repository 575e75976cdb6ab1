"""Placements of the cloud targets for tests: what the control plane would have pinned."""

from typing import Any
from uuid import UUID

from contracts.placement import AwsPlacement, ClusterSettings, Images, KubernetesPlacement, ServedModel
from contracts.runtime import RuntimeConfig
from contracts.stack import GpuSize, StackSecrets, StackSpec

DIGEST = "sha256:" + "5f" * 32
MODEL = ServedModel(name="example/small-instruct", revision="0123456789abcdef", cache_gb=20)


def images() -> Images:
    return Images(**{part: f"registry.example.com/{part}@{DIGEST}" for part in Images.model_fields})


def cluster_settings(**changes: Any) -> ClusterSettings:
    values = {
        "images": images(),
        "model": MODEL,
        "storage_class": "freehold-encrypted",
        "control_plane_cidrs": ["10.200.0.0/16"],
        "model_cidrs": ["10.201.0.0/24"],
    }
    return ClusterSettings(**(values | changes))


def aws_placement(**changes: Any) -> AwsPlacement:
    values: dict[str, Any] = {
        "account_id": "123456789012",
        "zones": ["eu-central-1a", "eu-central-1b", "eu-central-1c"],
        "vpc_cidr": "10.64.0.0/18",
        "kubernetes_version": "1.34",
        "addons": {
            "vpc-cni": "v1.20.4-eksbuild.2",
            "kube-proxy": "v1.34.0-eksbuild.2",
            "coredns": "v1.12.3-eksbuild.1",
            "eks-pod-identity-agent": "v1.3.9-eksbuild.3",
            "aws-ebs-csi-driver": "v1.51.0-eksbuild.1",
            "metrics-server": "v0.8.0-eksbuild.2",
        },
        "administrators": ["arn:aws:iam::123456789012:role/freehold"],
        "cost_center": "agents",
        "transit_gateway_id": "tgw-0123456789abcdef0",
        "cluster": cluster_settings(),
    }
    return AwsPlacement(**(values | changes))


def cloud_spec(target: str, slug: str = "acme", **changes: Any) -> StackSpec:
    """A tenant of the plan `pro` with one GPU. Name `kubernetes` or `aws` for its placement."""
    values: dict[str, Any] = {
        "tenant_id": UUID("018f0000-0000-7000-8000-000000000001"),
        "slug": slug,
        "stack_name": slug,
        "target": target,
        "region": "eu-central-1" if target == "aws" else "cluster",
        "plan": "pro",
        "gpu": GpuSize(count=1),
        "runtime": RuntimeConfig(
            version="0.1.0", usage_url="https://freehold.example.com/api/v1/usage/events"
        ),
    }
    if target == "aws":
        values["aws"] = aws_placement()
    else:
        values["kubernetes"] = KubernetesPlacement(
            kubeconfig="/nowhere/kubeconfig", cluster=cluster_settings()
        )
    return StackSpec(**(values | changes))


def cloud_secrets(slug: str = "acme") -> StackSecrets:
    return StackSecrets(
        usage_token=f"usage-token-of-{slug}",
        runtime_admin_key=f"admin-key-of-{slug}-0123456789",
        password_seed=f"seed-of-{slug}-0123456789abcdef0123456789abcdef",
    )
