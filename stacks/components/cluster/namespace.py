"""The tenant's walls in a cluster: a namespace, what it may use, who may speak to whom."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from contracts.names import name_of
from stacks.components.cluster.site import GPU_RESOURCE, ClusterSite, Manifest

HTTPS = 443


@dataclass(frozen=True)
class NamespaceArgs:
    gpus: int
    """All that its pods may ask for."""
    volumes: int
    storage_gb: int
    cpu: int = 32
    memory_gb: int = 128
    load_balancers: int = 0


class ClusterNamespace(pulumi.ComponentResource):
    """The namespace with PodSecurity `restricted`, a quota, defaults for pods that state nothing, and a priority.

    `ready` is what everything inside must wait for: a pod made before the quota and the policies escapes them.
    """

    ready: list[pulumi.Resource]

    def __init__(
        self, name: str, args: NamespaceArgs, site: ClusterSite, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("freehold:cluster:Namespace", name, None, opts)
        namespace = k8s.core.v1.Namespace(
            name,
            metadata={
                "name": site.namespace,
                "labels": {
                    **site.labels("namespace"),
                    "pod-security.kubernetes.io/enforce": "restricted",
                    "pod-security.kubernetes.io/enforce-version": "latest",
                    "pod-security.kubernetes.io/warn": "restricted",
                    "pod-security.kubernetes.io/audit": "restricted",
                },
            },
            opts=site.options(self),
        )
        inside = [namespace]
        quota = k8s.core.v1.ResourceQuota(
            f"{name}-quota",
            metadata=site.metadata("quota"),
            spec={"hard": _hard(args)},
            opts=site.options(self, inside),
        )
        limits = k8s.core.v1.LimitRange(
            f"{name}-limits",
            metadata=site.metadata("limits"),
            spec={
                "limits": [
                    {
                        "type": "Container",
                        "default": {"cpu": "500m", "memory": "512Mi"},
                        "defaultRequest": {"cpu": "100m", "memory": "128Mi"},
                    }
                ]
            },
            opts=site.options(self, inside),
        )
        priority = k8s.scheduling.v1.PriorityClass(
            f"{name}-priority",
            metadata={"name": priority_class(site), "labels": site.labels("priority")},
            value=1000,
            description=f"Pods of the tenant {site.slug}",
            opts=site.options(self),
        )
        self.ready = [namespace, quota, limits, priority]
        self.register_outputs({"name": site.namespace})


def priority_class(site: ClusterSite) -> str:
    return name_of(site.slug)


def _hard(args: NamespaceArgs) -> dict[str, str]:
    return {
        "requests.cpu": str(args.cpu),
        "limits.cpu": str(2 * args.cpu),
        "requests.memory": f"{args.memory_gb}Gi",
        "limits.memory": f"{args.memory_gb}Gi",
        f"requests.{GPU_RESOURCE}": str(args.gpus),
        "persistentvolumeclaims": str(args.volumes),
        "requests.storage": f"{args.storage_gb}Gi",
        # A balancer of AWS reaches its pods through a port of the nodes.
        "services.nodeports": str(args.load_balancers),
        "services.loadbalancers": str(args.load_balancers),
        "pods": "50",
    }


@dataclass(frozen=True)
class Door:
    """`port` of `part` is open to the parts named and to the networks named."""

    part: str
    port: int
    parts: Sequence[str] = ()
    networks: Sequence[str] = ()


@dataclass(frozen=True)
class Way:
    """`part` may speak to the networks named, on the port."""

    part: str
    port: int
    networks: Sequence[str]


class NetworkIsolation(pulumi.ComponentResource):
    """Nothing may speak or be spoken to but through the doors and ways given. Both ends of a door are opened."""

    def __init__(
        self,
        name: str,
        doors: Sequence[Door],
        ways: Sequence[Way],
        site: ClusterSite,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("freehold:cluster:NetworkIsolation", name, None, opts)
        self._site, self._name = site, name
        self._policy("deny-all", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
        self._policy("allow-dns", _dns())
        for door in doors:
            sources: list[Manifest] = [_pods(site, part) for part in door.parts]
            sources += [_network(network) for network in door.networks]
            if not sources:
                continue
            ports = [{"port": door.port, "protocol": "TCP"}]
            rule = {"from": sources, "ports": ports}
            spec = {**_applies(site, door.part), "policyTypes": ["Ingress"], "ingress": [rule]}
            self._policy(f"to-{door.part}", spec)
            for part in door.parts:
                out = {"to": [_pods(site, door.part)], "ports": ports}
                spec = {**_applies(site, part), "policyTypes": ["Egress"], "egress": [out]}
                self._policy(f"{part}-to-{door.part}", spec)
        for way in ways:
            if not way.networks:
                continue
            ports = [{"port": way.port, "protocol": "TCP"}]
            out = {"to": [_network(network) for network in way.networks], "ports": ports}
            spec = {**_applies(site, way.part), "policyTypes": ["Egress"], "egress": [out]}
            self._policy(f"{way.part}-out-{way.port}", spec)
        self.register_outputs({})

    def _policy(self, name: str, spec: Manifest) -> None:
        k8s.networking.v1.NetworkPolicy(
            f"{self._name}-{name}",
            metadata=self._site.metadata(name, "network-policy"),
            spec=spec,
            opts=self._site.options(self),
        )


def _applies(site: ClusterSite, part: str) -> Manifest:
    return {"podSelector": {"matchLabels": site.selector(part)}}


def _pods(site: ClusterSite, part: str) -> Manifest:
    return {"podSelector": {"matchLabels": site.selector(part)}}


def _network(cidr: str) -> Manifest:
    return {"ipBlock": {"cidr": cidr}}


def _dns() -> Manifest:
    resolver = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    ports = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
    return {
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [{"to": [resolver], "ports": ports}],
    }
