"""One-pod stores with a volume of their own: the frame that Postgres, Valkey and the vector stores share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from stacks.components.cluster.namespace import priority_class
from stacks.components.cluster.pods import CLAIM_RETENTION, CONTAINER_SECURITY, claim, pod_template, scratch
from stacks.components.cluster.site import ClusterSite, Manifest


@dataclass(frozen=True)
class StoreArgs:
    """`container` is the manifest's: image, command, env, ports, probes, mounts beside the data's; `port` is what
    its Service offers. `secret` values go into a Secret of the part's name and `files` into its ConfigMap."""

    port: int
    container: Manifest
    mount: str
    storage_gb: int
    secret: Mapping[str, pulumi.Output[str]]
    files: Mapping[str, str] = field(default_factory=dict)
    volumes: Sequence[Manifest] = ()
    service_account: str | None = None
    stop_s: int = 60


class ClusterStore(pulumi.ComponentResource):
    """Secret, ConfigMap, Service and a StatefulSet of one pod, which keeps its volume while it is not deleted."""

    def __init__(
        self,
        name: str,
        args: StoreArgs,
        site: ClusterSite,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("freehold:cluster:Store", name, None, opts)
        before: list[pulumi.Resource] = [
            k8s.core.v1.Secret(
                f"{name}-secret",
                metadata=site.metadata(name),
                type="Opaque",
                string_data=dict(args.secret),
                opts=site.options(self),
            )
        ]
        if args.files:
            before.append(
                k8s.core.v1.ConfigMap(
                    f"{name}-files",
                    metadata=site.metadata(name),
                    data=dict(args.files),
                    opts=site.options(self),
                )
            )
        k8s.core.v1.Service(
            f"{name}-service",
            metadata=site.metadata(name),
            spec={
                "clusterIP": "None",
                "selector": site.selector(name),
                "ports": [{"name": name, "port": args.port, "targetPort": args.port}],
            },
            opts=site.options(self),
        )
        k8s.apps.v1.StatefulSet(
            f"{name}-set",
            metadata=site.metadata(name),
            spec={
                "replicas": 1,
                "serviceName": name,
                "selector": {"matchLabels": site.selector(name)},
                "persistentVolumeClaimRetentionPolicy": CLAIM_RETENTION,
                "volumeClaimTemplates": [claim(site, "data", name, gigabytes=args.storage_gb)],
                "template": pod_template(site, name, self._pod(name, args, site)),
            },
            opts=site.options(self, before),
        )
        self.register_outputs({})

    @staticmethod
    def _pod(name: str, args: StoreArgs, site: ClusterSite) -> dict[str, Any]:
        mounts = [
            {"name": "data", "mountPath": args.mount},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own, an emptyDir
            *args.container.get("volumeMounts", []),
        ]
        container = {
            **args.container,
            "name": name,
            "ports": [{"containerPort": args.port}],
            "volumeMounts": mounts,
            "securityContext": CONTAINER_SECURITY,
        }
        account = {"serviceAccountName": args.service_account} if args.service_account else {}
        return {
            **account,
            "priorityClassName": priority_class(site),
            "terminationGracePeriodSeconds": args.stop_s,
            "containers": [container],
            "volumes": [scratch(), *args.volumes],
        }
