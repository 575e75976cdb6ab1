"""The leak scan of a shared cluster: every type that the API server knows is asked for objects with the tenant's
label; volumes and pods, which bear none or another, by the tenant's namespace."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from kubernetes import config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError

from contracts.names import name_of
from contracts.placement import KubernetesPlacement
from controlplane.tenants.leaks.model import Leak, Scan, looks_run

TENANT_LABEL: Final = "freehold.dev/tenant"
GPU_RESOURCE: Final = "nvidia.com/gpu"
DEADLINE_S: Final = 90.0
_TIMEOUT_S: Final = 15
#: Not the tenant's, although they bear its label: machines, and what measures them or happened to them.
_NOT_THEIRS: Final = frozenset({"nodes", "events", "componentstatuses", "csinodes"})
_NOT_THEIR_GROUPS: Final = frozenset({"metrics.k8s.io", "events.k8s.io", "custom.metrics.k8s.io"})

Document = Mapping[str, Any]


def kubernetes_left(slug: str, place: KubernetesPlacement, *, alive: Callable[[], None]) -> Scan:
    """Everything in the cluster that is the tenant's. What is in its namespace is told as the namespace alone."""
    return _scan(place, alive, lambda cluster: _looks(cluster, slug))


def kubernetes_restless(slug: str, place: KubernetesPlacement, *, alive: Callable[[], None]) -> Scan:
    """Pods of the tenant that run the runtime or hold a GPU."""
    return _scan(place, alive, lambda cluster: {"pods": lambda: _busy_pods(cluster, name_of(slug))})


def _scan(
    place: KubernetesPlacement,
    alive: Callable[[], None],
    looks_of: "Callable[[Cluster], Mapping[str, Callable[[], Iterator[Leak]]]]",
) -> Scan:
    try:
        cluster = Cluster(place)
        looks = looks_of(cluster)
    except (ConfigException, OSError, ApiException, HTTPError) as error:
        return Scan(failures=[f"sign-in: {_words(error)}"])
    return looks_run(looks, deadline_s=DEADLINE_S, alive=alive, failure=_words)


class Cluster:
    """Reads of the API server as plain documents."""

    def __init__(self, place: KubernetesPlacement) -> None:
        untyped: Any = config
        self._api = untyped.new_client_from_config(config_file=place.kubeconfig, context=place.context)

    def get(self, path: str, **query: str) -> Document:
        asked = self._api.param_serialize(
            "GET",
            path,
            query_params=list(query.items()),
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
        )
        answer = self._api.call_api(*asked, _request_timeout=_TIMEOUT_S)
        answer.read()
        if answer.status != 200:
            raise ApiException(status=answer.status, reason=answer.reason)
        found: Document = json.loads(answer.data)
        return found

    def items(self, path: str, **query: str) -> Iterator[Document]:
        """Every item of a list, page by page."""
        further: dict[str, str] = {}
        while True:
            page = self.get(path, limit="500", **query, **further)
            yield from page.get("items") or []
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return
            further = {"continue": token}

    def group_versions(self) -> Iterator[tuple[str, str]]:
        """(group, path) of what the API server serves, in each group's preferred version."""
        yield "", "/api/v1"
        for group in self.get("/apis")["groups"]:
            if group["name"] not in _NOT_THEIR_GROUPS:
                yield group["name"], f"/apis/{group['preferredVersion']['groupVersion']}"


def _looks(cluster: Cluster, slug: str) -> dict[str, Callable[[], Iterator[Leak]]]:
    looks: dict[str, Callable[[], Iterator[Leak]]] = {
        "volumes": partial(_volumes, cluster, name_of(slug)),
        "namespace": partial(_namespace, cluster, name_of(slug)),
    }
    for group, path in cluster.group_versions():
        looks[f"objects of {group or 'core'}"] = partial(_labelled, cluster, path, slug)
    return looks


def _labelled(cluster: Cluster, path: str, slug: str) -> Iterator[Leak]:
    """Objects of one group with the tenant's label, but those inside its namespace."""
    for kind in cluster.get(path)["resources"]:
        if "/" in kind["name"] or kind["name"] in _NOT_THEIRS or "list" not in kind["verbs"]:
            continue
        found = cluster.items(f"{path}/{kind['name']}", labelSelector=f"{TENANT_LABEL}={slug}")
        for each in found:
            meta = each["metadata"]
            place = meta.get("namespace")
            # The namespaces themselves are looked at by name, too.
            if place != name_of(slug) and not (
                kind["name"] == "namespaces" and meta["name"] == name_of(slug)
            ):
                yield Leak(kind["kind"], f"{place}/{meta['name']}" if place else meta["name"])


def _namespace(cluster: Cluster, name: str) -> Iterator[Leak]:
    for each in cluster.items("/api/v1/namespaces", fieldSelector=f"metadata.name={name}"):
        yield Leak("Namespace", name, str((each.get("status") or {}).get("phase", "")))


def _volumes(cluster: Cluster, namespace: str) -> Iterator[Leak]:
    """A volume bears no label of ours: whose it is says the claim that it was made for."""
    for each in cluster.items("/api/v1/persistentvolumes"):
        claim = each["spec"].get("claimRef") or {}
        if claim.get("namespace") == namespace:
            phase = (each.get("status") or {}).get("phase", "")
            yield Leak("PersistentVolume", each["metadata"]["name"], f"{claim.get('name')}, {phase}")


def _busy_pods(cluster: Cluster, namespace: str) -> Iterator[Leak]:
    for pod in cluster.items(f"/api/v1/namespaces/{namespace}/pods"):
        meta, phase = pod["metadata"], (pod.get("status") or {}).get("phase", "")
        if phase in ("Succeeded", "Failed"):
            continue
        runs = (meta.get("labels") or {}).get("app.kubernetes.io/name") == "runtime"
        if runs or _gpus(pod):
            yield Leak("Pod", meta["name"], f"{phase}{', holds GPUs' if _gpus(pod) else ''}")


def _gpus(pod: Document) -> bool:
    containers = pod["spec"].get("containers") or []
    limits = [
        ((each.get("resources") or {}).get("limits") or {}).get(GPU_RESOURCE, "0") for each in containers
    ]
    return any(str(limit) != "0" for limit in limits)


def _words(error: Exception) -> str:
    """What went wrong, without what was sent or answered in full."""
    if isinstance(error, ApiException):
        return f"{error.status} {error.reason}"
    if isinstance(error, ConfigException | OSError):
        return str(error)[:200]
    return type(error).__name__
