"""Starting and stopping what runs on this machine: the pieces of `up`, `down` and `status`."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from controlplane.cli import services
from controlplane.cli.errors import CliError
from controlplane.cli.home import ROOT, Home, Ports, home_prepare, ports_choose
from controlplane.cli.supervisor import services_stop
from embedded.processes import (
    ProcessIdentity,
    identity_read,
    identity_write,
    process_alive,
    process_spawn,
    process_stop,
    processes_marked,
)

START_DEADLINE_S = 90.0
STOP_DEADLINE_S = 60.0
#: How every message of a ConfigurationError begins.
CONFIGURATION_REFUSED = "Freehold cannot start"


def supervisor_alive(home: Home) -> ProcessIdentity | None:
    identity = identity_read(home.identity_file)
    return identity if identity is not None and process_alive(identity) else None


def supervisor_state(home: Home) -> dict[str, Any]:
    """What the supervisor last wrote; {} before the first start."""
    try:
        return dict(json.loads(home.state_file.read_text()))
    except (FileNotFoundError, ValueError):
        return {}


def supervisor_start(home: Home) -> Ports:
    """Starts the supervisor unless it runs; the ports. What an earlier one left behind when it was killed is
    ended first. Whatever is wrong with the environment is said before anything starts."""
    services.threads()
    if supervisor_alive(home) is not None:
        return ports_choose(home, running=True)
    home_prepare(home)
    # One that was started by an `up` killed before it could note it.
    for leftover in processes_marked(services.service_mark(home, "supervisor")):
        process_stop(leftover, grace_s=STOP_DEADLINE_S)
    if (home.run / "ports.json").exists():
        services_stop(home, Ports(**json.loads((home.run / "ports.json").read_text())))
    ports = ports_choose(home, running=False)
    (home.run / "migrated").unlink(missing_ok=True)
    home.state_file.unlink(missing_ok=True)
    identity = process_spawn(
        [sys.executable, "-m", "controlplane.cli.supervisor"],
        cwd=ROOT,
        env=services.service_environment(home, ports),
        log_path=home.logs / "supervisor.log",
        mark=services.service_mark(home, "supervisor"),
    )
    identity_write(home.identity_file, identity)
    return ports


def supervisor_phase_wait(home: Home, phases: tuple[str, ...]) -> str:
    """Until the supervisor says one of `phases`; which. CliError with the reason when it fails or takes too long."""
    deadline = time.monotonic() + START_DEADLINE_S
    while True:
        state = supervisor_state(home)
        phase = state.get("phase")
        if phase in phases:
            return str(phase)
        if phase == "failed" or supervisor_alive(home) is None:
            raise CliError(
                f"The services did not start: {state.get('error') or log_tail(home.logs / 'supervisor.log')}",
                hint=f"See {home.logs}; `freehold doctor` checks the machine.",
            )
        if time.monotonic() > deadline:
            raise CliError(
                f"The services did not start within {START_DEADLINE_S:.0f} s.", hint=f"See {home.logs}."
            )
        time.sleep(0.1)


def manage(home: Home, ports: Ports, *arguments: str) -> str:
    """Runs a management command; its output. CliError with its last lines when it fails."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        cwd=ROOT,
        env=services.service_environment(home, ports),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode != 0:
        raise manage_error(arguments[0], done.stderr or done.stdout)
    return done.stdout


def manage_error(command: str, output: str) -> CliError:
    """What to say of a management command that failed: of a wrong setting only its own words, no traceback."""
    refused = output.rfind(CONFIGURATION_REFUSED)
    if refused >= 0:
        return CliError(output[refused:].strip(), hint="docs/configuration.md has the table of settings.")
    tail = "\n".join(output.splitlines()[-8:])
    return CliError(f"`manage.py {command}` failed:\n{tail}", hint="Run `freehold doctor`.")


def web_ready_wait(home: Home, ports: Ports) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while True:
        try:
            if httpx.get(f"http://127.0.0.1:{ports.web}/readyz", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        if time.monotonic() > deadline:
            raise CliError(
                f"The web service did not answer: {log_tail(home.logs / 'web.log')}", hint=f"See {home.logs}."
            )
        time.sleep(0.1)


def tenants_host(home: Home, verb: str) -> list[dict[str, Any]]:
    """`boot`, `halt` or `list` the processes of local tenants, as a program of its own: the command line may not
    import stacks. [{tenant, name, pid, state, error?}]."""
    done = subprocess.run(
        [sys.executable, "-m", "stacks.providers.local", verb, "--tenants-dir", str(home.tenants), "--json"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
    )
    try:
        return list(json.loads(done.stdout or "[]"))
    except ValueError as error:
        raise CliError(f"`{verb}` of the tenants' processes failed: {done.stderr[-600:]}") from error


def everything_stop(home: Home) -> list[str]:
    """Stops tenants' processes and every service, by whatever way is left; the names of what was running.

    The supervisor goes first, so that it does not restart what is being stopped."""
    stopped: list[str] = []
    if not home.root.exists():
        return stopped
    state = supervisor_state(home)
    running = [p["name"] for p in state.get("processes", []) if p["state"] == "running"]
    identity = supervisor_alive(home)
    if identity is not None:
        process_stop(identity, grace_s=STOP_DEADLINE_S)
        stopped += running or ["supervisor"]
    ports_file = home.run / "ports.json"
    if ports_file.exists():
        services_stop(home, Ports(**json.loads(ports_file.read_text())))
    if home.tenants.exists():
        before = [unit for unit in tenants_host(home, "list") if unit["state"] == "running"]
        tenants_host(home, "halt")
        stopped += [f"{unit['tenant']}/{unit['name']}" for unit in before]
    # Whatever bears this home's mark and is still there: a crash between start and note leaves such a process.
    for leftover in processes_marked(str(home.root)):
        stopped.append(f"pid {leftover.pid}")
        process_stop(leftover, grace_s=5)
    home.identity_file.unlink(missing_ok=True)
    home.state_file.unlink(missing_ok=True)
    return stopped


def log_tail(path: Path, lines: int = 8) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"
