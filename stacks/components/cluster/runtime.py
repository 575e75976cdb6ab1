"""The agent runtime in a cluster: several pods on the same stores, more of them when runs queue up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from contracts.runtime import RuntimeConfig
from contracts.stack import ComponentOutput
from stacks.components.cluster.namespace import priority_class
from stacks.components.cluster.pods import (
    CONTAINER_SECURITY,
    pod_template,
    resources,
    scratch,
    secret_volume,
)
from stacks.components.cluster.site import TENANT_LABEL, ClusterSite

PORT = 8123
HTTP = 80
REPLICAS = 2
REPLICAS_MOST = 6
#: Runs that wait for a worker, for each pod: above it, another pod is started.
QUEUED_RUNS_PER_POD = 4
_WORKER_MB = 512
_DRAIN_S = 25

#: Value of `RuntimeArgs.secrets` -> the runtime's variable that names its file.
_FILES = {
    "database_url": "RUNTIME_DATABASE_URL_FILE",
    "redis_url": "RUNTIME_REDIS_URL_FILE",
    "vector_url": "RUNTIME_VECTOR_URL_FILE",
    "vector_api_key": "RUNTIME_VECTOR_API_KEY_FILE",
    "admin_key": "RUNTIME_ADMIN_KEY_FILE",
    "usage_token": "RUNTIME_USAGE_TOKEN_FILE",
    "model_api_key": "MODEL_API_KEY_FILE",
    "token_keys": "RUNTIME_JWT_KEYS_FILE",
    "storage_keys": "RUNTIME_ENCRYPTION_KEYS_FILE",
    "webhook_secret": "RUNTIME_WEBHOOK_SECRET_FILE",
}


@dataclass(frozen=True)
class Balancer:
    """An internal load balancer: what its cloud is told by annotations, and the port it listens on."""

    annotations: Mapping[str, str]
    port: int


@dataclass(frozen=True)
class ClusterRuntimeArgs:
    """`secrets` by the names of _FILES; one that is not given is not set. `environment` is added as it is."""

    config: RuntimeConfig
    secrets: Mapping[str, pulumi.Output[str]]
    model_base_url: str | None = None
    model: str | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    balancer: Balancer | None = None
    """None: the Service is reached inside the cluster only."""


class ClusterRuntime(pulumi.ComponentResource):
    """Deployment, Service, PodDisruptionBudget, and while it runs a HorizontalPodAutoscaler."""

    url: str

    def __init__(
        self,
        name: str,
        args: ClusterRuntimeArgs,
        site: ClusterSite,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("freehold:cluster:Runtime", name, None, opts)
        self._args, self._site, self._name = args, site, name
        domain = site.settings.runtime_domain
        self.url = f"https://{site.slug}.{domain}" if domain else f"http://{site.host(name)}"
        given = {key: value for key, value in args.secrets.items() if key in _FILES}
        secret = k8s.core.v1.Secret(
            f"{name}-secret",
            metadata=site.metadata(name),
            type="Opaque",
            string_data=given,
            opts=site.options(self),
        )
        account = k8s.core.v1.ServiceAccount(
            f"{name}-account",
            metadata=site.metadata(name),
            automount_service_account_token=False,
            opts=site.options(self),
        )
        k8s.core.v1.Service(
            f"{name}-service",
            metadata=site.metadata(name, annotations=args.balancer.annotations if args.balancer else None),
            spec=self._service(),
            opts=site.options(self),
        )
        deployment = k8s.apps.v1.Deployment(
            f"{name}-deployment",
            metadata=site.metadata(name),
            spec={
                # While it runs the autoscaler decides how many; who writes the number too fights it.
                **({"replicas": 0} if site.suspended else {}),
                "selector": {"matchLabels": site.selector(name)},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "template": pod_template(site, name, self._pod(given), version=args.config.version),
            },
            opts=site.options(self, [secret, account]),
        )
        k8s.policy.v1.PodDisruptionBudget(
            f"{name}-budget",
            metadata=site.metadata(name),
            spec={"maxUnavailable": 1, "selector": {"matchLabels": site.selector(name)}},
            opts=site.options(self),
        )
        if not site.suspended:
            k8s.autoscaling.v2.HorizontalPodAutoscaler(
                f"{name}-autoscaler",
                metadata=site.metadata(name),
                spec=self._autoscaler(),
                opts=site.options(self, [deployment]),
            )
        self.register_outputs({"url": self.url})

    def _service(self) -> dict[str, Any]:
        balancer = self._args.balancer
        return {
            "type": "LoadBalancer" if balancer else "ClusterIP",
            "selector": self._site.selector(self._name),
            "ports": [{"name": "http", "port": balancer.port if balancer else HTTP, "targetPort": PORT}],
        }

    def _autoscaler(self) -> dict[str, Any]:
        return {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": self._name},
            "minReplicas": REPLICAS,
            "maxReplicas": REPLICAS_MOST,
            "metrics": [
                {
                    # Each pod tells the whole queue: an external metric is taken once and shared out.
                    "type": "External",
                    "external": {
                        "metric": {
                            "name": "freehold_runtime_queued_runs",
                            "selector": {"matchLabels": {TENANT_LABEL: self._site.slug}},
                        },
                        "target": {"type": "AverageValue", "averageValue": str(QUEUED_RUNS_PER_POD)},
                    },
                },
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 75}},
                },
            ],
            # A run lasts minutes: pods that go too soon are missed at once.
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}},
        }

    def _pod(self, given: Mapping[str, Any]) -> dict[str, Any]:
        site, config = self._site, self._args.config
        environment: dict[str, Any] = {
            "PYTHONUNBUFFERED": "1",
            "HOME": "/tmp",  # noqa: S108 - the pod's own, an emptyDir
            "RUNTIME_TENANT": site.slug,
            "RUNTIME_PUBLIC_URL": self.url,
            "RUNTIME_DRAIN_S": str(_DRAIN_S),
            "MODEL_NAME": self._args.model or config.model,
            **self._args.environment,
        }
        if config.usage_url is not None:
            environment["RUNTIME_USAGE_URL"] = config.usage_url
        if (base := self._args.model_base_url or config.model_base_url) is not None:
            environment["MODEL_BASE_URL"] = base
        for key in given:
            # The runtime wants address and token of the usage ingest together or not at all.
            if key != "usage_token" or config.usage_url is not None:
                environment[_FILES[key]] = f"/run/credentials/{key}"
        argv = ["python", "-m", "tenant_runtime", "serve", "--host", "0.0.0.0", "--port", str(PORT)]  # noqa: S104
        if config.manifest is not None:
            argv += ["--manifest", config.manifest]
        if config.workers != 1:
            argv += ["--workers", str(config.workers)]
        container = {
            "name": self._name,
            "image": site.settings.images.runtime,
            "command": argv,
            "env": [
                {"name": "RUNTIME_REPLICA", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                *({"name": key, "value": value} for key, value in sorted(environment.items())),
            ],
            "ports": [{"name": "http", "containerPort": PORT}],
            "startupProbe": {
                "httpGet": {"path": "/live", "port": PORT}, "periodSeconds": 2, "failureThreshold": 60,
            },
            "readinessProbe": {"httpGet": {"path": "/ready", "port": PORT}, "periodSeconds": 5},
            "livenessProbe": {
                "httpGet": {"path": "/live", "port": PORT}, "periodSeconds": 20, "failureThreshold": 3,
            },
            # A pod that ends is still sent requests for a moment, until every node has heard of it.
            "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},
            "resources": resources(cpu="250m", memory_mb=_WORKER_MB * config.workers),
            "securityContext": CONTAINER_SECURITY,
            "volumeMounts": [
                {"name": "credentials", "mountPath": "/run/credentials", "readOnly": True},
                {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
            ],
        }  # fmt: skip
        return {
            "serviceAccountName": self._name,
            "priorityClassName": priority_class(site),
            "terminationGracePeriodSeconds": _DRAIN_S + 15,
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "topology.kubernetes.io/zone",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": site.selector(self._name)},
                }
            ],
            "containers": [container],
            "volumes": [
                secret_volume("credentials", self._name),
                scratch(),
            ],
        }

    def describe(self) -> ComponentOutput:
        config = self._args.config
        where = "(suspended)" if self._site.suspended else f"at {self.url}"
        return ComponentOutput(
            name="runtime",
            kind="runtime",
            summary=f"agent runtime {config.version} {where}",
            details={
                "version": config.version,
                "workers": config.workers,
                "replicas": 0 if self._site.suspended else REPLICAS,
                "model": self._args.model or config.model,
            },
        )
