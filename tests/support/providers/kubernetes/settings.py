"""The provider's own inputs, as the official SDK sends them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stacks.providers.local.values import is_unknown
from tests.support.providers.kubernetes.api import server_of
from tests.support.providers.serving import Refused

#: Inputs that the stand-in does not have. A program that sets one would be proven wrongly.
_UNSUPPORTED = ("renderYamlToDirectory", "helmReleaseSettings", "skipUpdateUnreachable", "cluster")
#: Variables of the plugin's environment that count where the program says nothing.
_VARIABLES = {
    "deleteUnreachable": "PULUMI_K8S_DELETE_UNREACHABLE",
    "enableConfigMapMutable": "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE",
    "enablePatchForce": "PULUMI_K8S_ENABLE_PATCH_FORCE",
    "enableSecretMutable": "PULUMI_K8S_ENABLE_SECRET_MUTABLE",
    "enableServerSideApply": "PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY",
    "upsertExistingObjects": "PULUMI_K8S_UPSERT_EXISTING_OBJECTS",
}


@dataclass(frozen=True)
class Settings:
    """`kubeconfig` None: not known yet, or not given."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str = "default"
    server_side_apply: bool = True
    delete_unreachable: bool = False
    patch_force: bool = False
    secret_mutable: bool = False
    config_map_mutable: bool = False
    upsert: bool = False

    @classmethod
    def of(cls, inputs: Mapping[str, Any]) -> "Settings":
        refused = [name for name in _UNSUPPORTED if inputs.get(name)]
        if refused:
            raise Refused(f"the stand-in for the Kubernetes provider has no {', '.join(refused)}")
        kubeconfig = inputs.get("kubeconfig")
        settings = cls(
            kubeconfig=None if is_unknown(kubeconfig) else kubeconfig or None,
            context=inputs.get("context"),
            namespace=inputs.get("namespace") or "default",
            server_side_apply=_flag(inputs, "enableServerSideApply", True),
            delete_unreachable=_flag(inputs, "deleteUnreachable"),
            patch_force=_flag(inputs, "enablePatchForce"),
            secret_mutable=_flag(inputs, "enableSecretMutable"),
            config_map_mutable=_flag(inputs, "enableConfigMapMutable"),
            upsert=_flag(inputs, "upsertExistingObjects"),
        )
        if not settings.server_side_apply:
            raise Refused("the stand-in for the Kubernetes provider knows server-side apply only")
        return settings


def another_cluster(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether changed inputs mean another cluster, so that all that is in the old one must be made again."""
    if old.get("clusterIdentifier") or new.get("clusterIdentifier"):
        return bool(old.get("clusterIdentifier") != new.get("clusterIdentifier"))
    servers = []
    for inputs in (old, new):
        kubeconfig = inputs.get("kubeconfig")
        if not kubeconfig or is_unknown(kubeconfig):
            return False
        try:
            servers.append(server_of(kubeconfig, inputs.get("context")))
        except Refused:
            servers.append(kubeconfig)
    return servers[0] != servers[1]


def _flag(inputs: Mapping[str, Any], name: str, default: bool = False) -> bool:
    """The SDK sends what is not a text as JSON."""
    value = inputs.get(name, os.environ.get(_VARIABLES[name], default))
    return value == "true" if isinstance(value, str) else bool(value)
