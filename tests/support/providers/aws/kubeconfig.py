"""The API server that clusters answer with when a test has a real one: moto's clusters answer nothing."""

import base64
import os
from pathlib import Path
from typing import Any

import yaml

#: The environment variable that names the server's kubeconfig.
KUBECONFIG_VARIABLE = "STANDIN_EKS_KUBECONFIG"


def server_of_test() -> tuple[str, str] | None:
    """Address and certificate authority (base64); None where the test has no cluster."""
    read = _read()
    if read is None:
        return None
    cluster = read["clusters"][0]["cluster"]
    data = cluster.get("certificate-authority-data")
    if data is None and "certificate-authority" in cluster:
        data = base64.b64encode(Path(cluster["certificate-authority"]).read_bytes()).decode()
    return cluster["server"], data or ""


def token_of_test() -> str | None:
    """What lets its first user in."""
    read = _read()
    return None if read is None else str(read["users"][0]["user"]["token"])


def _read() -> dict[str, Any] | None:
    path = os.environ.get(KUBECONFIG_VARIABLE)
    if path is None:
        return None
    read: dict[str, Any] = yaml.safe_load(Path(path).read_text())
    return read
