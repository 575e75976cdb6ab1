"""Objects of the cluster that the resource's own provider reaches, by their kind, namespace and name."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import kubernetes
import yaml
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import NotFoundError, ResourceNotFoundError

from stacks.errors import InputInvalid
from stacks.reading import at

_TIMEOUT_S = 30


def object_find(resource: Mapping[str, Any], resources: Sequence[Mapping[str, Any]]) -> str | None:
    """`namespace/name`, or the name alone for what belongs to the whole cluster."""
    inputs = resource.get("inputs") or {}
    name, namespace = at(inputs, "metadata", "name"), at(inputs, "metadata", "namespace")
    api_version, kind = inputs.get("apiVersion"), inputs.get("kind")
    if not (name and api_version and kind):
        raise InputInvalid(f"{resource['urn']} has no name of ours: nobody can tell whether it was created")
    client = kubernetes.config.new_client_from_config_dict(  # type: ignore[no-untyped-call]
        _kubeconfig(resource, resources), context=_provider(resource, resources).get("context") or None
    )
    with client:
        try:
            api = DynamicClient(client).resources.get(  # type: ignore[no-untyped-call]
                api_version=api_version, kind=kind
            )
            api.get(name=name, namespace=namespace, _request_timeout=_TIMEOUT_S)
        except (NotFoundError, ResourceNotFoundError):
            return None
    return f"{namespace}/{name}" if namespace else str(name)


def _provider(resource: Mapping[str, Any], resources: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The inputs of the resource's provider, which the state names as `urn::id`."""
    urn = str(resource.get("provider", "")).rpartition("::")[0]
    for each in resources:
        if each.get("urn") == urn:
            return dict(each.get("inputs") or {})
    raise InputInvalid(f"the state does not hold the provider of {resource['urn']}")


def _kubeconfig(resource: Mapping[str, Any], resources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A provider is given a file's path, or the file's contents."""
    given = str(_provider(resource, resources).get("kubeconfig") or "")
    text = Path(given).read_text(encoding="utf-8") if given.startswith("/") else given
    parsed = yaml.safe_load(text)
    if not isinstance(parsed, dict):
        raise InputInvalid(f"the provider of {resource['urn']} names no kubeconfig")
    return parsed
