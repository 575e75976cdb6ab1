"""vLLM on the tenant's own GPUs, and the plugin by which a node offers them."""

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from contracts.placement import ServedModel
from stacks.components.cluster.namespace import priority_class
from stacks.components.cluster.pods import (
    CLAIM_RETENTION,
    CONTAINER_SECURITY,
    claim,
    pod_template,
    resources,
    scratch,
)
from stacks.components.cluster.site import GPU_RESOURCE, TENANT_LABEL, ClusterSite, Manifest

PORT = 8000
#: Memory of a node for each of its GPUs, of which the server may have most (g6.xlarge has 16 GiB).
_MEMORY_PER_GPU_MB = 12 * 1024
#: How long the first start may take: tens of gigabytes are fetched.
_START_S = 3600

#: One token through the whole model: weights loaded, kernels compiled, caches made. Only then does the pod count
#: as started, and only a started pod gets requests.
_WARM_UP = f"""\
import json, os, sys, urllib.request
request = urllib.request.Request(
    "http://127.0.0.1:{PORT}/v1/completions",
    json.dumps({{"model": os.environ["MODEL_NAME"], "prompt": "Hello", "max_tokens": 1}}).encode(),
    {{"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["VLLM_API_KEY"]}},
)
answer = json.load(urllib.request.urlopen(request, timeout=25))
sys.exit(0 if answer["choices"] else 1)
"""
_PRELOAD = """\
import os
from huggingface_hub import snapshot_download
snapshot_download(os.environ["MODEL_NAME"], revision=os.environ["MODEL_REVISION"])
"""


def gpu_placement(slug: str) -> Manifest:
    """Where pods that use a GPU run: on the tenant's own nodes, which nobody else tolerates."""
    return {
        "nodeSelector": {TENANT_LABEL: slug},
        "tolerations": [
            {"key": TENANT_LABEL, "operator": "Equal", "value": slug, "effect": "NoSchedule"},
            {"key": GPU_RESOURCE, "operator": "Exists", "effect": "NoSchedule"},
        ],
    }


@dataclass(frozen=True)
class ModelServerArgs:
    model: ServedModel
    gpus: int

    @property
    def replicas(self) -> int:
        return self.gpus // self.model.gpus_per_replica


class ModelServer(pulumi.ComponentResource):
    """A StatefulSet, so that each copy keeps the model's files on a volume of its own between starts.

    `base_url` is OpenAI's kind, `api_key` secret. Scaled to nothing while the tenant is suspended.
    """

    base_url: str
    api_key: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        args: ModelServerArgs,
        site: ClusterSite,
        *,
        api_key: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("freehold:cluster:ModelServer", name, None, opts)
        self.api_key = pulumi.Output.secret(api_key)
        self.base_url = f"http://{site.host(name)}:{PORT}/v1"
        secret = k8s.core.v1.Secret(
            f"{name}-secret",
            metadata=site.metadata(name),
            type="Opaque",
            string_data={"api-key": self.api_key},
            opts=site.options(self),
        )
        k8s.core.v1.Service(
            f"{name}-service",
            metadata=site.metadata(name),
            spec={
                "selector": site.selector(name),
                "ports": [{"name": "http", "port": PORT, "targetPort": PORT}],
            },
            opts=site.options(self),
        )
        k8s.apps.v1.StatefulSet(
            f"{name}-set",
            metadata=site.metadata(name),
            spec={
                "replicas": 0 if site.suspended else args.replicas,
                "serviceName": name,
                # Copies know nothing of each other: they start side by side.
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": site.selector(name)},
                "persistentVolumeClaimRetentionPolicy": CLAIM_RETENTION,
                "volumeClaimTemplates": [claim(site, "models", name, gigabytes=args.model.cache_gb)],
                "template": pod_template(site, name, _pod(name, args, site)),
            },
            opts=pulumi.ResourceOptions.merge(
                site.options(self, [secret]),
                pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="70m", update="70m")),
            ),
        )
        self.register_outputs({"base_url": self.base_url})


def _pod(name: str, args: ModelServerArgs, site: ClusterSite) -> dict[str, Any]:
    model = args.model
    environment = [
        {"name": "MODEL_NAME", "value": model.name},
        {"name": "MODEL_REVISION", "value": model.revision},
        {"name": "HF_HOME", "value": "/models"},
        {"name": "HOME", "value": "/tmp"},  # noqa: S108 - the pod's own, an emptyDir
        {"name": "DO_NOT_TRACK", "value": "1"},
    ]
    mounts = [{"name": "models", "mountPath": "/models"}, {"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108
    gpus = {GPU_RESOURCE: str(model.gpus_per_replica)}
    preload = {
        "name": "preload",
        "image": site.settings.images.model_server,
        "command": ["python3", "-c", _PRELOAD],
        "env": environment,
        "resources": resources(cpu="1", memory_mb=2048),
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": mounts,
    }
    serve = {
        "name": name,
        "image": site.settings.images.model_server,
        "command": ["vllm", "serve", model.name],
        "args": [
            "--revision", model.revision,
            "--host", "0.0.0.0",  # noqa: S104 - inside the pod; who may reach it, its NetworkPolicy says
            "--port", str(PORT),
            "--tensor-parallel-size", str(model.gpus_per_replica),
            "--max-model-len", str(model.max_model_len),
        ],
        "env": [
            *environment,
            # The files are there: a start must not depend on a hub.
            {"name": "HF_HUB_OFFLINE", "value": "1"},
            {"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": {"name": name, "key": "api-key"}}},
        ],
        "ports": [{"name": "http", "containerPort": PORT}],
        "startupProbe": {
            "exec": {"command": ["python3", "-c", _WARM_UP]},
            "periodSeconds": 10,
            "timeoutSeconds": 30,
            "failureThreshold": _START_S // 10,
        },
        "readinessProbe": {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": 5},
        "livenessProbe": {
            "httpGet": {"path": "/health", "port": PORT},
            "periodSeconds": 20,
            "failureThreshold": 6,
        },
        "resources": resources(
            cpu="2", memory_mb=_MEMORY_PER_GPU_MB * model.gpus_per_replica, extra=gpus
        ),
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [*mounts, {"name": "shm", "mountPath": "/dev/shm"}],  # noqa: S108
    }  # fmt: skip
    return {
        **gpu_placement(site.slug),
        "priorityClassName": priority_class(site),
        "terminationGracePeriodSeconds": 60,
        "initContainers": [preload],
        "containers": [serve],
        "volumes": [scratch(size="20Gi"), scratch("shm", memory=True, size="2Gi")],
    }


class DevicePlugin(pulumi.ComponentResource):
    """NVIDIA's device plugin on the tenant's GPU nodes: the image AL2023_x86_64_NVIDIA holds driver and container
    toolkit, but not the plugin. Only a cluster of the tenant's own gets it from us; a shared one has it."""

    def __init__(self, name: str, site: ClusterSite, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("freehold:cluster:DevicePlugin", name, None, opts)
        selector = site.selector(name)
        k8s.apps.v1.DaemonSet(
            name,
            metadata={"name": name, "namespace": "kube-system", "labels": site.labels(name)},
            spec={
                "selector": {"matchLabels": selector},
                "updateStrategy": {"type": "RollingUpdate"},
                "template": {
                    "metadata": {"labels": site.labels(name)},
                    "spec": {
                        **gpu_placement(site.slug),
                        "priorityClassName": "system-node-critical",
                        "automountServiceAccountToken": False,
                        "containers": [
                            {
                                "name": name,
                                "image": site.settings.images.device_plugin,
                                "env": [{"name": "FAIL_ON_INIT_ERROR", "value": "true"}],
                                "resources": resources(cpu="50m", memory_mb=64),
                                "securityContext": CONTAINER_SECURITY,
                                "volumeMounts": [
                                    {"name": "plugins", "mountPath": "/var/lib/kubelet/device-plugins"}
                                ],
                            }
                        ],
                        "volumes": [
                            {"name": "plugins", "hostPath": {"path": "/var/lib/kubelet/device-plugins"}}
                        ],
                    },
                },
            },
            opts=site.options(self),
        )
        self.register_outputs({})
