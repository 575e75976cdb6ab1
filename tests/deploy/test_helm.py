"""The chart of the control plane, rendered by the real helm: what it refuses, and what its pods are."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings as product
from django.urls import resolve

from controlplane.cli.home import Ports
from controlplane.cli.services import SECRET_VARIABLES, commands
from tests.deploy.chart import (
    CHART,
    EXAMPLES,
    RELEASE,
    ROOT,
    Manifest,
    container,
    helm,
    named,
    pod_specs,
    rendered,
)

KUBERNETES, AWS = CHART / "ci" / "kubernetes-values.yaml", CHART / "ci" / "aws-values.yaml"
pytestmark = pytest.mark.engine  # the real helm, built by tools/install-helm
COMPONENTS = ("migrations", "scheduler", "web", "worker")
examples = pytest.mark.parametrize("values", EXAMPLES, ids=lambda path: path.stem)


@examples
def test_it_is_clean(values: Path) -> None:
    done = helm("lint", str(CHART), "--strict", "-f", str(values))
    assert done.returncode == 0, done.stdout + done.stderr


@examples
def test_every_manifest_is_whole(values: Path) -> None:
    manifests = rendered(values=values)
    assert all(each["apiVersion"] and each["kind"] and each["metadata"]["name"] for each in manifests)
    names = [(each["kind"], each["metadata"]["name"]) for each in manifests]
    assert len(names) == len(set(names))
    assert {each["kind"] for each in manifests} >= {
        "ConfigMap",
        "Deployment",
        "Job",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
    }
    assert "Secret" not in {each["kind"] for each in manifests}
    assert sorted(pod_specs(manifests)) == list(COMPONENTS)


# --- what is refused --------------------------------------------------------------------------------------
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"image": {"digest": ""}}, "/image/digest"),
    ({"image": {"digest": "sha256:abc"}}, "/image/digest"),
    ({"image": {"digest": None}}, "digest"),
    ({"image": {"repository": "registry.example.com/freehold/control-plane:latest"}}, "/image/repository"),
    ({"image": {"tag": "latest"}}, "tag"),
    ({"publicUrl": "freehold.example.com"}, "/publicUrl"),
    ({"targets": {"enabled": ["local"]}}, "/targets/enabled/0"),
    ({"targets": {"file": ""}}, "/targets/file"),
    ({"secrets": {"existingSecret": ""}}, "/secrets/existingSecret"),
    ({"secrets": {"databaseUrl": "postgres://freehold:password@postgres/freehold"}}, "databaseUrl"),
    (
        {"secrets": {"keys": {"databaseUrl": "postgres://freehold:password@postgres/freehold"}}},
        "/databaseUrl",
    ),
    ({"secrets": {"keys": {"pulumiPassphrase": ""}}}, "/secrets/keys/pulumiPassphrase"),
    *[({"settings": {name: "a value"}}, f"propertyName '{name}'") for name in SECRET_VARIABLES],
    ({"settings": {"FREEHOLD_STRIPE_TOKEN": "a value"}}, "propertyName 'FREEHOLD_STRIPE_TOKEN'"),
    ({"settings": {"FREEHOLD_TARGETS": "local"}}, "propertyName 'FREEHOLD_TARGETS'"),
    ({"settings": {"PATH": "/nowhere"}}, "propertyName 'PATH'"),
    ({"worker": {"env": [{"name": "AWS_SECRET_ACCESS_KEY", "value": "a value"}]}}, "/worker/env/0"),
    ({"scheduler": {"replicas": 2}}, "replicas"),
    ({"worker": {"replicas": 0}}, "/worker/replicas"),
    ({"networkPolicy": {"targets": [{"to": []}]}}, "/networkPolicy/targets/0"),
]


@pytest.mark.parametrize(("wrong", "said"), REFUSED, ids=lambda value: json.dumps(value)[:60])
def test_what_does_not_fit_is_refused_by_name(wrong: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(wrong))
    done = helm("template", RELEASE, str(CHART), "-f", str(KUBERNETES), "-f", str(path))
    assert done.returncode != 0
    assert "specifications of the schema" in done.stderr
    assert said in done.stderr


# --- what the pods are ------------------------------------------------------------------------------------
@examples
def test_pods_are_restricted(values: Path) -> None:
    for spec in pod_specs(rendered(values=values)).values():
        pod, own = spec["securityContext"], container(spec)["securityContext"]
        assert pod["runAsNonRoot"] is True
        assert pod["runAsUser"] >= 10000
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert own == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert spec["enableServiceLinks"] is False, (
            "FREEHOLD_PORT of a Service would be taken for our setting"
        )
        written = {"/var/lib/freehold", "/tmp"}
        mounts = {each["mountPath"]: each for each in container(spec)["volumeMounts"]}
        kinds = {each["name"]: next(key for key in each if key != "name") for each in spec["volumes"]}
        assert {path for path, each in mounts.items() if kinds[each["name"]] == "emptyDir"} == written
        assert all(each.get("readOnly") for path, each in mounts.items() if path not in written)
        resources = container(spec)["resources"]
        assert {"cpu", "memory", "ephemeral-storage"} <= set(resources["requests"])
        assert {"memory", "ephemeral-storage"} <= set(resources["limits"])


@examples
def test_the_image_is_named_by_its_digest(values: Path) -> None:
    given = yaml.safe_load(values.read_text())["image"]
    for spec in pod_specs(rendered(values=values)).values():
        assert container(spec)["image"] == f"{given['repository']}@{given['digest']}"


def test_only_the_worker_gets_what_only_it_needs() -> None:
    specs = pod_specs(rendered("--set", "secrets.keys.modelApiKey=model-api-key", values=KUBERNETES))
    for component, spec in specs.items():
        (volume,) = [each for each in spec["volumes"] if each["name"] == "secrets"]
        files = {item["path"] for item in volume["secret"]["items"]}
        assert ({"pulumi-passphrase", "model-api-key"} <= files) is (component == "worker")
        assert spec["automountServiceAccountToken"] is (component == "worker")
    for spec in pod_specs(rendered(values=AWS)).values():
        assert spec["automountServiceAccountToken"] is False


def test_there_is_one_scheduler_and_it_is_replaced_not_doubled() -> None:
    spec = named(rendered(values=AWS), "Deployment", f"{RELEASE}-scheduler")["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")


def test_the_autoscaler_counts_web_or_the_values_do() -> None:
    web = named(rendered(values=AWS), "Deployment", f"{RELEASE}-web")
    assert "replicas" not in web["spec"]
    autoscaler = named(rendered(values=AWS), "HorizontalPodAutoscaler", f"{RELEASE}-web")
    assert autoscaler["spec"]["scaleTargetRef"]["name"] == web["metadata"]["name"]
    fixed = rendered(values=KUBERNETES)
    assert named(fixed, "Deployment", f"{RELEASE}-web")["spec"]["replicas"] == 2
    assert "HorizontalPodAutoscaler" not in {each["kind"] for each in fixed}


def test_migrations_come_before_the_pods_and_never_twice_at_once() -> None:
    job = named(rendered(values=KUBERNETES), "Job", f"{RELEASE}-migrations")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["spec"]["podReplacementPolicy"] == "Failed"
    # Nothing of the chart's own is there before an installation.
    spec = job["spec"]["template"]["spec"]
    assert "serviceAccountName" not in spec
    assert "envFrom" not in container(spec)
    assert {next(key for key in each if key != "name") for each in spec["volumes"]} == {"emptyDir", "secret"}


def test_a_changed_setting_renews_the_pods() -> None:
    def sums(*arguments: str) -> set[str]:
        manifests = [each for each in rendered(*arguments, values=KUBERNETES) if each["kind"] == "Deployment"]
        return {each["spec"]["template"]["metadata"]["annotations"]["checksum/config"] for each in manifests}

    before, after = sums(), sums("--set", "settings.FREEHOLD_LOG_LEVEL=DEBUG")
    assert len(before) == len(after) == 1
    assert before != after


def test_probes_ask_what_the_product_answers() -> None:
    own = container(pod_specs(rendered(values=KUBERNETES))["web"])
    asked = {name: own[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: resolve(each["path"]).func.__name__ for name, each in asked.items()} == {
        "startup": "healthz",
        "liveness": "healthz",
        "readiness": "readyz",
    }
    for each in asked.values():
        assert each["httpHeaders"] == [{"name": "Host", "value": "freehold.example.com"}]


def test_commands_are_those_of_one_machine() -> None:
    """The chart's words are `freehold up`'s, but for where they listen and where they may write."""
    specs = pod_specs(rendered("--set", "worker.maxOperations=4", values=KUBERNETES))
    here = {
        each.name: each.argv[1:] for each in commands(Ports(web=8420, postgres=1, redis=2, tenant_base=3))
    }
    for component, differing in {
        "web": {"127.0.0.1", "0.0.0.0", "3", "20"},  # noqa: S104 - a pod's own address
        "worker": set(),
        "scheduler": {"--schedule", "/tmp/celerybeat-schedule"},
    }.items():
        own = container(specs[component])
        there = [*own["command"], *own["args"]]
        assert there[0] == "python"
        assert words(there[1:]) ^ words(here[component]) <= differing


def words(argv: list[str]) -> set[str]:
    return {part for word in argv for part in word.split("=", 1) if part}


# --- settings ---------------------------------------------------------------------------------------------
def environment_of(spec: Manifest, manifests: list[Manifest], folder: Path) -> dict[str, str]:
    """The container's variables, with the files that it would find mounted put below `folder`."""
    own = container(spec)
    found: dict[str, str] = {}
    for source in own.get("envFrom", []):
        found |= named(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    found |= {each["name"]: each["value"] for each in own["env"] if "value" in each}
    volumes = {each["name"]: each for each in spec["volumes"]}
    for mount in own["volumeMounts"]:
        volume, place = volumes[mount["name"]], folder / mount["mountPath"].lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        for item in volume.get("secret", {}).get("items", []):
            (place / item["path"]).write_text(SECRET_TEXTS.get(item["key"], "not-a-secret-" * 4))
        if "configMap" in volume:
            for name, text in named(manifests, "ConfigMap", volume["configMap"]["name"])["data"].items():
                (place / name).write_text(text.replace("/etc/freehold", f"{folder}/etc/freehold"))
    return {name: text.replace("/etc/freehold", f"{folder}/etc/freehold") for name, text in found.items()}


SECRET_TEXTS = {
    "database-url": "postgres://freehold@postgres/freehold",
    "redis-url": "rediss://redis/0",
    "pulumi-backend-url": "postgres://pulumi@postgres/pulumi_state",
    "email-url": "smtps://freehold@mail.example.com",
}
_LOAD = """
import json
from controlplane.config import settings as s
print(json.dumps({"names": [each.name for each in s.env.settings], "hosts": s.ALLOWED_HOSTS,
                  "targets": s.FREEHOLD_TARGETS, "database": s.DATABASES["default"]["HOST"],
                  "plan_ttl": s.FREEHOLD_PLAN_TTL_S, "operations": s.FREEHOLD_MAX_OPERATIONS}))
"""


@examples
@pytest.mark.parametrize("component", COMPONENTS)
def test_the_product_starts_with_what_the_chart_gives(values: Path, component: str, tmp_path: Path) -> None:
    manifests = rendered(values=values)
    given = environment_of(pod_specs(manifests)[component], manifests, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", _LOAD],
        env={"PATH": os.environ["PATH"], "FREEHOLD_HOME": str(tmp_path), **given},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    own = {name for name in given if name.startswith(("FREEHOLD_", "PULUMI_", "MODEL_"))}
    known = {*read["names"], *(f"{name}_FILE" for name in read["names"])}
    assert own - known == set(), "the chart sets what no reader reads"
    assert read["database"] == "postgres"
    if component != "migrations":
        wanted = yaml.safe_load(values.read_text())
        assert read["hosts"] == ["freehold.example.com", *wanted.get("allowedHosts", [])]
        assert read["targets"] == wanted["targets"]["enabled"]
        assert read["operations"] == wanted.get("worker", {}).get("maxOperations", 4)
        assert read["plan_ttl"] == wanted.get("settings", {}).get("FREEHOLD_PLAN_TTL_S", 86400)


def test_the_schema_knows_every_secret_setting() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    refused = set(schema["properties"]["settings"]["propertyNames"]["not"]["enum"])
    assert set(SECRET_VARIABLES) <= refused
    # Each secret setting has a key of the Secret instead.
    files = {
        each["name"].removesuffix("_FILE")
        for example in EXAMPLES
        for each in container(pod_specs(rendered(values=example))["worker"])["env"]
        if each["name"].endswith("_FILE")
    }
    assert set(SECRET_VARIABLES) <= files
    assert product.FREEHOLD_HOME.is_absolute()


# --- network ----------------------------------------------------------------------------------------------
def test_nothing_may_go_anywhere_that_is_not_named() -> None:
    policies = [each for each in rendered(values=AWS) if each["kind"] == "NetworkPolicy"]
    (deny,) = [each["spec"] for each in policies if each["metadata"]["name"].endswith("-deny")]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in deny
    assert "egress" not in deny
    chosen = set(deny["podSelector"]["matchLabels"].items())
    for each in rendered(values=AWS):
        if each["kind"] in ("Deployment", "Job"):
            assert chosen <= set(each["spec"]["template"]["metadata"]["labels"].items())
    stores = next(each["spec"] for each in policies if each["metadata"]["name"].endswith("-stores"))
    assert [rule["ports"][0]["port"] for rule in stores["egress"]] == [53, 5433, 6379]
    assert stores["egress"][1]["to"] == [{"ipBlock": {"cidr": "10.1.0.0/16"}}]
    opened = {
        each["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]: each["spec"]["egress"]
        for each in policies
        if each["metadata"]["name"].endswith("-out")
    }
    assert len(opened["web"]) == 1
    assert len(opened["worker"]) == 2
    assert "169.254.169.254/32" in opened["worker"][1]["to"][0]["ipBlock"]["except"]
    assert "scheduler" not in opened
