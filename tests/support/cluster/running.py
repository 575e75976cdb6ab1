"""The running cluster: starting its parts in order, what tests ask of it, and its end without leftovers."""

import base64
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import urllib3
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from embedded.ports import free_port
from embedded.processes import processes_marked
from tests.support.cluster.nodes import ZONES, cpu_node, gpu_node
from tests.support.cluster.programs import ClusterError, Program
from tests.support.cluster.stages import stages
from tests.support.cluster.volumes import Provisioner, storage_classes

CONTEXT = "test"
START_TIMEOUT_S = 60.0
STOP_GRACE_S = 10.0
_POLL_S = 0.05

Answer = TypeVar("Answer")


@dataclass
class Cluster:
    """`kubeconfig` is the file of an administrator; `api` the official client with it."""

    folder: Path
    kubeconfig: Path = field(init=False)
    api: client.ApiClient = field(init=False)
    programs: list[Program] = field(default_factory=list)
    _provisioner: Provisioner | None = None

    @classmethod
    def start(cls) -> "Cluster":
        """Comes back when nodes are ready for pods; ClusterError with the log's end otherwise."""
        cluster = cls(Path(tempfile.mkdtemp(prefix="freehold-cluster-")))
        try:
            cluster._start()
        except BaseException:
            cluster.stop()
            raise
        return cluster

    def stop(self) -> None:
        """Ends every process it started, the last first, and removes the folder."""
        if self._provisioner is not None:
            self._provisioner.stop()
        for program in reversed(self.programs):
            program.stop(STOP_GRACE_S)
        shutil.rmtree(self.folder)
        left = processes_marked(str(self.folder))
        if left:
            raise ClusterError(f"processes of the cluster are left: {left}")

    # --- what tests ask ------------------------------------------------------------------------------------
    @property
    def core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self.api)

    @property
    def apps(self) -> client.AppsV1Api:
        return client.AppsV1Api(self.api)

    def gpu_node_add(self, name: str, *, tenant: str, gpus: int) -> None:
        """One more machine with GPUs for this tenant alone; ready when it returns."""
        self._node_add(gpu_node(name, ZONES[0], tenant=tenant, gpus=gpus))
        self.wait(lambda: self._ready_nodes() >= {name}, f"node {name} to be ready")

    def node_remove(self, name: str) -> None:
        self.core.delete_node(name)

    def pods(self, namespace: str, labels: str = "") -> list[Any]:
        found = self.core.list_namespaced_pod(namespace, label_selector=labels).items
        return sorted(found, key=lambda pod: pod.metadata.name)

    def namespaces(self) -> set[str]:
        """Those that tests made."""
        names = {each.metadata.name for each in self.core.list_namespace().items}
        return {name for name in names if name != "default" and not name.startswith("kube-")}

    def wait(self, ask: Callable[[], Answer], what: str, timeout_s: float = 30.0) -> Answer:
        """The first true answer. ClusterError when none came in time, or when a part of the cluster ended."""
        deadline = time.monotonic() + timeout_s
        while not (answer := ask()):
            for program in self.programs:
                program.check()
            if time.monotonic() > deadline:
                logs = "\n".join(program.log_end() for program in self.programs)
                raise ClusterError(f"waited {timeout_s:.0f} s for {what}.\n{logs}")
            time.sleep(_POLL_S)
        return answer

    # --- how it comes up -----------------------------------------------------------------------------------
    def _start(self) -> None:
        etcd = self._start_etcd()
        server = self._start_apiserver(etcd)
        self._start_provisioning()
        own = [f"--kubeconfig={self.kubeconfig}"]
        elected = [*own, "--leader-elect=false", "--bind-address=127.0.0.1"]
        keys = [
            f"--service-account-private-key-file={self.folder / 'accounts.key'}",
            f"--root-ca-file={server}",
        ]
        self._run("kube-controller-manager", [*elected, *keys, f"--secure-port={free_port()}", *_CONTROLLERS])
        self._run("kube-scheduler", [*elected, f"--secure-port={free_port()}"])
        (self.folder / "stages.yaml").write_text(stages())
        self._run(
            "kwok", [*own, "--manage-all-nodes=true", f"--config={self.folder / 'stages.yaml'}", *_KWOK]
        )
        for number, zone in enumerate(ZONES, 1):
            self._node_add(cpu_node(f"cpu-{number}", zone))
        names = {f"cpu-{number}" for number in range(1, len(ZONES) + 1)}
        self.wait(lambda: self._ready_nodes() >= names, "the nodes to be ready", START_TIMEOUT_S)
        # A pod is refused until the controller-manager has made its namespace's account.
        self.wait(self._has_default_account, "the account of the namespace default", START_TIMEOUT_S)

    def _start_etcd(self) -> str:
        clients, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self._run(
            "etcd",
            [
                f"--data-dir={self.folder / 'etcd'}",
                f"--listen-client-urls={clients}",
                f"--advertise-client-urls={clients}",
                f"--listen-peer-urls={peers}",
                f"--initial-advertise-peer-urls={peers}",
                f"--initial-cluster=default={peers}",
                "--unsafe-no-fsync",
                "--log-level=warn",
            ],
        )
        return clients

    def _start_apiserver(self, etcd: str) -> Path:
        """Its own certificate authority, by which clients know it."""
        port = free_port()
        key = self.folder / "accounts.key"
        key.write_bytes(_private_key())
        token = secrets.token_urlsafe(24)
        (self.folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
        self._run(
            "kube-apiserver",
            [
                f"--etcd-servers={etcd}",
                f"--secure-port={port}",
                "--bind-address=127.0.0.1",
                f"--cert-dir={self.folder / 'certificates'}",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
                f"--token-auth-file={self.folder / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--allow-privileged=true",
                "--watch-cache=true",
            ],
        )
        certificate = self.folder / "certificates" / "apiserver.crt"
        self.wait(certificate.exists, "the apiserver's certificate", START_TIMEOUT_S)
        self.kubeconfig = self.folder / "kubeconfig"
        self.kubeconfig.write_text(_kubeconfig(f"https://127.0.0.1:{port}", certificate.read_bytes(), token))
        self.kubeconfig.chmod(0o600)
        self.api = config.new_client_from_config(str(self.kubeconfig), context=CONTEXT)
        self.wait(self._answers, "the apiserver to be ready", START_TIMEOUT_S)
        return certificate

    def _start_provisioning(self) -> None:
        for storage_class in storage_classes():
            client.StorageV1Api(self.api).create_storage_class(storage_class)
        self._provisioner = Provisioner(self.api)
        self._provisioner.start()

    def _run(self, name: str, options: list[str]) -> None:
        self.programs.append(Program.start(name, options, self.folder))

    def _answers(self) -> bool:
        try:
            return str(self.api.call_api("GET", f"{self.api.configuration.host}/readyz").status) == "200"
        except (ApiException, urllib3.exceptions.HTTPError):
            return False

    def _node_add(self, node: dict[str, Any]) -> None:
        self.core.create_node(node)

    def _ready_nodes(self) -> set[str]:
        return {node.metadata.name for node in self.core.list_node().items if _is_ready(node)}

    def _has_default_account(self) -> bool:
        accounts = self.core.list_namespaced_service_account("default").items
        return "default" in {account.metadata.name for account in accounts}


#: Nodes' addresses are kwok's matter, and no cloud is here. A claim is looked at again soon, not after 15 s.
_CONTROLLERS = ["--allocate-node-cidrs=false", "--pvclaimbinder-sync-period=1s"]
_KWOK = ["--node-lease-duration-seconds=40", "--server-address=", "--cidr=10.0.0.1/16", "--node-ip=127.0.0.1"]


def _is_ready(node: Any) -> bool:
    """Ready, and without the taints that a new node bears until its controllers have seen it."""
    conditions = node.status.conditions or []
    ready = any(each.type == "Ready" and each.status == "True" for each in conditions)
    return ready and not any(
        taint.key.startswith("node.kubernetes.io/") for taint in (node.spec.taints or [])
    )


def _private_key() -> bytes:
    """What the accounts' tokens are signed with."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _kubeconfig(server: str, authority: bytes, token: str) -> str:
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(authority).decode()}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": CONTEXT,
            "clusters": [{"name": CONTEXT, "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": "admin"}}],
        }
    )
