"""`freehold doctor`: the same checks as the bootstrap's, and those of the machine and the configuration."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass

from controlplane.cli.home import ROOT, Home
from controlplane.cli.lifecycle import supervisor_alive, supervisor_state
from controlplane.cli.services import service_environment
from embedded.errors import EmbeddedError
from embedded.postgres import postgres_binary
from embedded.redis import redis_binary

MIN_FREE_GB = 3


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    detail: str
    try_: str = ""

    def to_json(self) -> dict[str, str | bool]:
        body = asdict(self)
        body["try"] = body.pop("try_")
        return body


def checks(home: Home) -> list[Check]:
    return [
        *_bootstrap(),
        _binaries(),
        _disk(home),
        _gpus(),
        _permissions(home),
        _settings(home),
        _services(home),
    ]


def _bootstrap() -> list[Check]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "bootstrap.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode != 0:
        return [Check("bootstrap", False, done.stderr.strip()[-300:], "Run `make install`.")]
    return [Check(row["name"], row["ok"], row["detail"], row["try"]) for row in json.loads(done.stdout)]


def _binaries() -> Check:
    try:
        return Check(
            "servers", True, f"{postgres_binary('postgres').name} and {redis_binary().name} are installed"
        )
    except EmbeddedError as error:
        return Check("servers", False, str(error), "Run `make install`.")


def _disk(home: Home) -> Check:
    existing = home.root if home.root.exists() else ROOT
    free = shutil.disk_usage(existing).free / 1e9
    return Check("disk", free >= MIN_FREE_GB, f"{free:.0f} GB free", f"Freehold wants {MIN_FREE_GB} GB.")


def _gpus() -> Check:
    if shutil.which("nvidia-smi") is None:
        return Check("gpus", True, "none on this machine; GPU pools will be empty, and say so")
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20)
    return Check("gpus", True, f"{len(done.stdout.splitlines())} found by nvidia-smi")


def _permissions(home: Home) -> Check:
    if not home.secrets.exists():
        return Check("secrets", True, "none yet; `freehold up` makes them")
    loose = [path.name for path in home.secrets.rglob("*") if path.stat().st_mode & 0o077]
    if home.secrets.stat().st_mode & 0o077:
        loose.append("secrets/")
    return Check(
        "secrets",
        not loose,
        "private" if not loose else f"readable by others: {', '.join(loose)}",
        "chmod go-rwx",
    )


def _settings(home: Home) -> Check:
    """Whether the services would start with this environment: the settings refuse what is wrong, by name."""
    if not (home.secrets / "secret_key").exists() or not (home.run / "ports.json").exists():
        return Check("configuration", True, "not used yet; `freehold up` makes what is missing")
    from controlplane.cli.home import Ports

    ports = Ports(**json.loads((home.run / "ports.json").read_text()))
    done = subprocess.run(
        [sys.executable, "-c", "import django; django.setup()"],
        cwd=ROOT,
        env=service_environment(home, ports),
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode == 0:
        return Check("configuration", True, f"accepted ({len(os.environ)} variables in the environment)")
    tail = done.stderr[done.stderr.find("Freehold cannot start") :][:800] or done.stderr[-400:]
    return Check(
        "configuration", False, tail, "Set the named variables; docs/configuration.md has the table."
    )


def _services(home: Home) -> Check:
    if supervisor_alive(home) is None:
        return Check("services", True, "down; `make up` starts them")
    bad = [
        p["name"]
        for p in supervisor_state(home).get("processes", [])
        if p["state"] not in ("running", "external")
    ]
    return Check(
        "services", not bad, "running" if not bad else f"not running: {', '.join(bad)}", "freehold status"
    )
