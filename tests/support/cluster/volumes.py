"""What a storage driver does in a real cluster: a volume for each claim that waits for one, and its end.

The controller-manager binds and protects them; only the provisioning itself is played, by a thread.
"""

import threading
import time
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

PROVISIONER = "volumes.tests.freehold.dev"
#: Drivers of clouds that it plays as well: a program may bring a class of its own.
PLAYED = (PROVISIONER, "ebs.csi.aws.com")
#: As a cloud's class: a volume is made where the first pod that uses it was scheduled.
DEFAULT_CLASS = "standard"
IMMEDIATE_CLASS = "immediate"

_POLL_S = 0.15
#: The client waits for ever otherwise.
_BOUNDED: dict[str, Any] = {"_request_timeout": 10}
_SELECTED_NODE = "volume.kubernetes.io/selected-node"
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"


def storage_classes() -> list[dict[str, Any]]:
    return [
        _storage_class(DEFAULT_CLASS, "WaitForFirstConsumer", default=True),
        _storage_class(IMMEDIATE_CLASS, "Immediate", default=False),
    ]


class Provisioner:
    """Makes volumes until it is stopped."""

    def __init__(self, api: client.ApiClient) -> None:
        self._core = client.CoreV1Api(api)
        self._storage = client.StorageV1Api(api)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="volume-provisioner", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(10)

    def _serve(self) -> None:
        while not self._stopped.is_set():
            started = time.monotonic()
            try:
                self._look()
            except Exception as error:
                # The next look sees what this one could not do; a cluster that is gone shows elsewhere. A thread that
                # ended here would leave every later claim waiting for ever.
                print(f"volume provisioner: {type(error).__name__}: {str(error)[:300]}", flush=True)
                self._stopped.wait(_POLL_S)
            self._stopped.wait(max(_POLL_S, 2 * (time.monotonic() - started)))

    def _look(self) -> None:
        waiting = {
            each.metadata.name: each.volume_binding_mode == "WaitForFirstConsumer"
            for each in self._storage.list_storage_class(**_BOUNDED).items
            if each.provisioner in PLAYED
        }
        for claim in self._core.list_persistent_volume_claim_for_all_namespaces(**_BOUNDED).items:
            if claim.status.phase == "Pending" and _is_to_be_served(claim, waiting):
                self._provision(claim)
        for volume in self._core.list_persistent_volume(**_BOUNDED).items:
            ours = (volume.metadata.annotations or {}).get(_PROVISIONED_BY) == PROVISIONER
            released = volume.status.phase == "Released"
            if ours and released and volume.spec.persistent_volume_reclaim_policy == "Delete":
                self._core.delete_persistent_volume(volume.metadata.name, **_BOUNDED)

    def _provision(self, claim: Any) -> None:
        name = f"pvc-{claim.metadata.uid}"
        volume = {
            "metadata": {"name": name, "annotations": {_PROVISIONED_BY: PROVISIONER}},
            "spec": {
                "accessModes": claim.spec.access_modes,
                "capacity": {"storage": claim.spec.resources.requests["storage"]},
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": claim.metadata.namespace,
                    "name": claim.metadata.name,
                    "uid": claim.metadata.uid,
                },
                "hostPath": {"path": f"/var/lib/volumes/{name}"},
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": claim.spec.storage_class_name,
                "volumeMode": claim.spec.volume_mode,
            },
        }
        try:
            self._core.create_persistent_volume(volume, **_BOUNDED)
        except ApiException as error:
            if error.status != 409:
                raise


def _storage_class(name: str, binding: str, *, default: bool) -> dict[str, Any]:
    marks = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {
        "metadata": {"name": name, "annotations": marks},
        "provisioner": PROVISIONER,
        "volumeBindingMode": binding,
        "reclaimPolicy": "Delete",
        "allowVolumeExpansion": True,
    }


def _is_to_be_served(claim: Any, waiting: dict[str, bool]) -> bool:
    """`waiting`: classes that are served -> whether they wait for the first pod to be put on a machine."""
    name = claim.spec.storage_class_name
    if name not in waiting or claim.spec.volume_name:
        return False
    return not waiting[name] or _SELECTED_NODE in (claim.metadata.annotations or {})
