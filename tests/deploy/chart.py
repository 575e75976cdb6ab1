"""The chart as tests see it: rendered by the real helm, and the pods in what came out."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
HELM = ROOT / ".tools" / "bin" / "helm"
CHART = ROOT / "deploy" / "helm" / "freehold"
EXAMPLES = sorted((CHART / "ci").glob("*-values.yaml"))
RELEASE, NAMESPACE = "freehold", "freehold"

Manifest = dict[str, Any]


def helm(*arguments: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    assert HELM.exists(), "helm is not there: python3 tools/install-helm"
    return subprocess.run([str(HELM), *arguments], capture_output=True, text=True, timeout=timeout_s)


def rendered(*arguments: str, values: Path) -> list[Manifest]:
    done = helm("template", RELEASE, str(CHART), "-n", NAMESPACE, "-f", str(values), *arguments)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [each for each in manifests if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def pod_specs(manifests: list[Manifest]) -> dict[str, Manifest]:
    """By component: web, worker, scheduler, migrations."""
    found = [each["spec"]["template"] for each in manifests if each["kind"] in ("Deployment", "Job")]
    return {each["metadata"]["labels"]["app.kubernetes.io/component"]: each["spec"] for each in found}


def container(spec: Manifest) -> Manifest:
    (only,) = spec["containers"]
    return dict(only)
