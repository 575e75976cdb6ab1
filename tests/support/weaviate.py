"""A real Weaviate of its own for tests, built from its Go module by tools/install-weaviate."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from embedded.ports import free_port
from tests.support.waiting import answer_wait

ROOT = Path(__file__).resolve().parents[2]
BINARY = ROOT / ".tools" / "bin" / "weaviate"
START_S = 90


@dataclass(frozen=True)
class RunningWeaviate:
    url: str
    api_key: str
    process: subprocess.Popen[bytes]


@contextmanager
def weaviate_started(folder: Path) -> Iterator[RunningWeaviate]:
    """Ready to serve, with one API key and ports of its own; ended with the block."""
    subprocess.run([sys.executable, ROOT / "tools" / "install-weaviate"], check=True)
    ports = [free_port() for _ in range(6)]
    names = (
        "GRPC_PORT",
        "CLUSTER_GOSSIP_BIND_PORT",
        "CLUSTER_DATA_BIND_PORT",
        "RAFT_PORT",
        "RAFT_INTERNAL_RPC_PORT",
    )
    key = "weaviate-test-key"
    environment = {
        "PATH": os.environ.get("PATH", ""),
        **{name: str(port) for name, port in zip(names, ports[1:], strict=True)},
        "PERSISTENCE_DATA_PATH": str(folder / "data"),
        "AUTHENTICATION_APIKEY_ENABLED": "true",
        "AUTHENTICATION_APIKEY_ALLOWED_KEYS": key,
        "AUTHENTICATION_APIKEY_USERS": "runtime",
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "false",
        "DEFAULT_VECTORIZER_MODULE": "none",
        "CLUSTER_HOSTNAME": "node1",
        "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
        "RAFT_BOOTSTRAP_EXPECT": "1",
        "DISABLE_TELEMETRY": "true",
    }
    argv = [str(BINARY), "--host", "127.0.0.1", "--port", str(ports[0]), "--scheme", "http"]
    log = folder / "weaviate.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        answer_wait(f"http://127.0.0.1:{ports[0]}/v1/.well-known/ready", log=log, deadline_s=START_S)
        yield RunningWeaviate(f"weaviate://127.0.0.1:{ports[0]}", key, process)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
