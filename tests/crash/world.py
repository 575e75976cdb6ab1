"""A small Freehold that a crash test may break: workers as processes, a state database of its own, one home.

The test arms a crash point, asks for an operation, waits until the point is reached, kills the victim, and then looks
at everything an operator or a customer could lose: see `World.violations`.
"""

import base64
import contextlib
import hashlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
from django.db import connections

from billing.metering.models import ResourceSpan
from controlplane.core.encryption import decrypt
from controlplane.operations import approvals, services, states
from controlplane.operations.fence import fences_sweep
from controlplane.operations.models import Operation, Stack
from controlplane.operations.process import operation_mark
from controlplane.operations.record import secret_context
from controlplane.tenants.models import Snapshot, Tenant
from controlplane.tenants.snapshots.folders import folders_on_disk, snapshot_folder
from embedded.crashpoints import VARIABLE
from embedded.databases import administered_database_ensure
from embedded.postgres import postgres_ready, postgres_start, postgres_url
from embedded.processes import MARK_VARIABLE, ProcessIdentity, process_wait_gone, processes_marked, wait_until
from tests.support.ports import tenant_port_base
from tests.support.services import RunningPostgres

ROOT = Path(__file__).resolve().parent.parent.parent
LEASE_S = 3
REACH_S = 60.0
SERVERS = ["cache", "postgres", "runtime", "vector"]
#: What an operation may take after a crash beside the lease: 20 seconds to be taken over, and the work itself.
FINISH_S = 20.0 + 60.0


@dataclass
class Crash:
    """One case as it went. Times are seconds since the kill."""

    point: str
    victim: str
    reached: bool
    operation: Operation
    finished_s: float = 0.0
    attempts: int = 1
    retried: bool = False
    error: str = ""

    def line(self) -> str:
        outcome = f"retried after {self.error}" if self.retried else self.operation.state
        return (
            f"{self.operation.kind}: {self.victim} killed at {self.point}: {outcome} after "
            f"{self.finished_s:.1f} s in {self.attempts} attempts"
        )


@dataclass
class Zombie:
    """A run that was paused, overtaken and woken. `state_moved`: it changed the stack's state after that;
    `refusals`: how often the state database turned it away."""

    operation: Operation
    state_moved: bool
    refusals: int


@dataclass
class World:
    root: Path
    postgres: RunningPostgres
    settings: Any
    plant: str | None = None
    lease_s: int = LEASE_S
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    # --- life --------------------------------------------------------------------------------------------
    def start(self) -> None:
        for folder in ("points", "logs"):
            (self.root / folder).mkdir()
        (self.root / "passphrase").write_text("test")
        (self.root / "passphrase").chmod(0o600)
        # Of its own: what a test with a planted bug leaves must not meet the next.
        self.database = f"crash_{secrets.token_hex(4)}"
        password = "crash-login-password"
        administered_database_ensure(
            self.postgres.server,
            self.postgres.password,
            database=self.database,
            owner="crash_owner",
            login="crash_login",
            login_password=password,
        )
        url = postgres_url(self.postgres.server, password, self.database, user="crash_login")
        self.state_url = url
        values = {
            "FREEHOLD_HOME": self.root,
            "FREEHOLD_PULUMI": ROOT / ".tools",
            "PULUMI_BACKEND_URL": url.replace("postgresql://", "postgres://", 1) + "?sslmode=disable",
            "FREEHOLD_TENANT_PORT_BASE": tenant_port_base(),
            "FREEHOLD_LEASE_S": self.lease_s,
        }
        for name, value in values.items():
            setattr(self.settings, name, value)
        self.settings.PULUMI_PASSPHRASE_FILE = self.root / "passphrase"
        self.environment = {
            **os.environ,
            **{name: str(value) for name, value in values.items()},
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.root / "passphrase"),
            "DATABASE_URL": self.postgres.url(str(connections["default"].settings_dict["NAME"])),
            VARIABLE: str(self.root / "points"),
            "PYTHONPATH": str(ROOT),
        }
        for _ in range(2):
            self.worker_start()

    def worker_start(self, plant: str | None = None) -> None:
        chosen = plant or self.plant
        argv = [sys.executable, "-m", "tests.crash.worker", *(["--plant", chosen] if chosen else [])]
        with (self.root / "logs" / "workers.log").open("ab") as log:
            self.workers.append(
                subprocess.Popen(argv, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
            )

    def stop(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()
        for mark in ("operations", "tenants"):
            for identity in processes_marked(str(self.root / mark)):
                _kill(identity.pid)
        # The server is shared: what a killed run's lease left there must not meet the next test.
        fences_sweep(current=set)

    # --- one case ----------------------------------------------------------------------------------------
    def crash(self, request: Callable[[], Operation], *, point: str, victim: str) -> Crash:
        """Arms the point, asks for the operation, kills the victim when the point is reached, and waits for the end."""
        reached = self.root / "points" / f"{point}.reached"
        (self.root / "points" / f"{point}.armed").touch()
        operation = request()
        pid = self.wait_reached(point, operation)
        if pid is None:
            (self.root / "points" / f"{point}.armed").unlink(missing_ok=True)
            return Crash(point, victim, False, self.wait_end(operation))
        self.kill(victim, pid)
        killed = time.monotonic()
        reached.unlink(missing_ok=True)
        done = Crash(point, victim, True, operation)
        self._see_through(done, killed)
        return done

    def strike(self, request: Callable[[], Operation], *, after_s: float, victim: str) -> Crash:
        """Asks for the operation and kills the victim after that time; `reached` says whether there was one."""
        operation = request()
        time.sleep(after_s)
        pids = self._victims(operation, victim)
        done = Crash(f"{after_s:.2f}s", victim, bool(pids) or victim == "postgres", operation)
        if victim == "postgres":
            self.postgres_crash()
        for pid in pids[:1]:
            _kill(pid)
        self._see_through(done, time.monotonic())
        return done

    def _victims(self, operation: Operation, victim: str) -> list[int]:
        if victim == "worker":
            # Whichever it is, the one that carries the operation out is found half of the time.
            return [worker.pid for worker in self.workers]
        marked = [psutil.Process(identity.pid) for identity in processes_marked(operation_mark(operation.id))]
        return [process.pid for process in marked if _role(process) == victim]

    def _see_through(self, done: Crash, killed: float) -> None:
        """Waits for the end and retries what failed, as an operator would. AssertionError for a failure without
        a reason."""
        operation = done.operation
        self.wait_end(operation)
        done.finished_s = time.monotonic() - killed
        done.attempts = done.operation.attempt
        if done.operation.state == states.FAILED:
            error = done.operation.error or {}
            done.error = str(error.get("code"))
            if not (error.get("code") and error.get("title") and error.get("hint")):
                raise AssertionError(f"failed without a reason: {error}")
            services.operation_retry(operation=done.operation, actor="t", now=_now())
            done.retried = True
            self.wait_end(operation)

    def zombie(self, request: Callable[[], Operation], *, point: str) -> Zombie:
        """Pauses a run and its worker in mid-apply, lets another worker take over and finish, then wakes them."""
        reached = self.root / "points" / f"{point}.reached"
        (self.root / "points" / f"{point}.armed").touch()
        operation = request()
        pid = self.wait_reached(point, operation)
        assert pid is not None, f"{point} is not passed: {operation.state}, {operation.error}"
        worker = self.find("worker", pid)
        # Not the provider: paused inside a unit's lock, it would keep the next run from that unit for ever.
        marked = [psutil.Process(identity.pid) for identity in processes_marked(operation_mark(operation.id))]
        paused = [process.pid for process in marked if _role(process) in ("runner", "cli")]
        for each in (worker, *paused):
            os.kill(each, signal.SIGSTOP)
        reached.unlink()
        self.wait_end(operation)
        before, refused = self._state_text(operation.tenant), self._refusals()
        # The worker last: it would end its runner at once, and the fence would not be tried.
        for each in paused:
            os.kill(each, signal.SIGCONT)
        wait_until(lambda: self._refusals() > refused and not _alive(paused), 15.0, poll_s=0.1)
        os.kill(worker, signal.SIGCONT)
        wait_until(lambda: not _alive(paused), 15.0, poll_s=0.1)
        moved = self._state_text(operation.tenant) != before
        operation.refresh_from_db()
        return Zombie(operation, moved, self._refusals() - refused)

    def wait_reached(self, point: str, operation: Operation) -> int | None:
        """The pid that halts at the point; None when the operation ended without passing it."""
        reached = self.root / "points" / f"{point}.reached"
        end = time.monotonic() + REACH_S
        while time.monotonic() < end:
            try:
                text = reached.read_text()
                if text:
                    return int(text)
            except FileNotFoundError:
                operation.refresh_from_db()
                self._agree(operation)
                if operation.state in states.TERMINAL:
                    return None
            time.sleep(0.02)
        raise AssertionError(f"{point} was not reached in {REACH_S:.0f} s: {self.log_tail()}")

    def wait_end(self, operation: Operation) -> Operation:
        end = time.monotonic() + self.lease_s + FINISH_S
        while time.monotonic() < end:
            operation.refresh_from_db()
            if operation.state in states.TERMINAL:
                return operation
            self._agree(operation)
            self.workers_keep()
            time.sleep(0.05)
        raise AssertionError(
            f"{operation.kind} is still {operation.state} after {self.lease_s + FINISH_S:.0f} s, "
            f"attempt {operation.attempt}: {self.log_tail()}"
        )

    def _agree(self, operation: Operation) -> None:
        """As another person would to a plan that waits for one, such as a restore's."""
        if operation.state == states.AWAITING_APPROVAL:
            approvals.operation_approve(operation=operation, actor="user:second@example.com", now=_now())

    def workers_keep(self) -> None:
        for worker in list(self.workers):
            if worker.poll() is not None:
                self.workers.remove(worker)
                self.worker_start()

    def kill(self, victim: str, pid: int) -> None:
        if victim == "postgres":
            self.postgres_crash()
            return
        _kill(self.find(victim, pid))

    def find(self, victim: str, pid: int) -> int:
        """The process of that role which `pid` is, or which it runs below."""
        here = psutil.Process(pid)
        for process in (here, *here.parents()):
            if _role(process) == victim:
                return process.pid
        raise AssertionError(f"no {victim} above {here.cmdline()}")

    def postgres_crash(self) -> None:
        """SIGKILL of the postmaster of control plane and state alike, and its restart, as a service manager does."""
        server = self.postgres.server
        pid = int((server.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])
        _kill(pid)
        identity = postgres_start(server)
        postgres_ready(server, self.postgres.password, 60, identity=identity)
        connections.close_all()

    # --- what must hold ----------------------------------------------------------------------------------
    def violations(self, tenant: Tenant, *, crash: Crash | None = None) -> list[str]:
        """Everything that is lost, doubled or untrue; empty when all is well."""
        tenant.refresh_from_db()
        found: list[str] = []
        gone = tenant.lifecycle == "deprovisioned"
        servers = self._units(tenant)
        state = self._state(tenant)
        if crash is not None:
            found += self._operation_wrong(crash)
        if self._locks():
            found.append(f"locks are left: {self._locks()}")
        found += self._snapshots_wrong(tenant)
        if state.get("pending_operations"):
            found.append(f"{len(state['pending_operations'])} pending operations are left in the state")
        urns = [r["urn"] for r in state.get("resources", []) if not r.get("delete")]
        if len(urns) != len(set(urns)):
            found.append("a resource is twice in the state")
        stack = Stack.objects.filter(tenant=tenant).first()
        spans = ResourceSpan.objects.filter(span_slot__tenant_id=tenant.id)
        open_spans = [span for span in spans if span.span.upper is None and not span.span.isempty]
        if gone:
            for what, left in (
                ("processes", servers),
                ("files", self._files(tenant)),
                ("resources in the state", urns),
                ("open spans", open_spans),
            ):
                if left:
                    found.append(f"{what} are left of a deprovisioned tenant: {sorted(map(str, left))[:5]}")
            return found
        if tenant.lifecycle in ("active", "suspended"):
            wanted = [each for each in SERVERS if each != "runtime" or tenant.lifecycle == "active"]
            if sorted(servers) != wanted:
                found.append(f"servers are {sorted(servers)}, wanted are {wanted}")
            if stack is None or not stack.outputs:
                found.append(f"an {tenant.lifecycle} tenant without outputs")
            elif len(stack.resources) != len(urns):
                found.append(f"{len(stack.resources)} resources are known, {len(urns)} are in the state")
            if len(open_spans) != len(wanted):
                found.append(f"{len(open_spans)} open spans, wanted {len(wanted)}: one a server")
            found += self._data_halfway(tenant)
        return found

    def _snapshots_wrong(self, tenant: Tenant) -> list[str]:
        """A snapshot is whole, with the manifest that was noted, or it is none."""
        found = []
        whole = Snapshot.objects.filter(tenant=tenant, state="complete")
        for snapshot in whole:
            manifest = snapshot_folder(tenant_id=tenant.id, snapshot_id=snapshot.id) / "manifest.json"
            text = manifest.read_bytes() if manifest.exists() else b""
            if hashlib.sha256(text).hexdigest() != snapshot.manifest_sha256:
                found.append(f"snapshot {snapshot.id} is called complete and is not on disk")
        open_ones = Operation.objects.filter(tenant=tenant, state__in=states.OPEN)
        if not open_ones.exists():
            known = {snapshot_folder(tenant_id=tenant.id, snapshot_id=s.id) for s in whole}
            left = [str(folder) for folder, _ in folders_on_disk() if folder not in known]
            if left:
                found.append(f"files of no snapshot are left: {left}")
        return found

    def _data_halfway(self, tenant: Tenant) -> list[str]:
        """What a restore loads beside the data, and its journal, are gone once it has ended."""
        found = []
        if (self.root / "tenants" / tenant.slug / "restore.json").exists():
            found.append("restored data waits to be put in place")
        stack = Stack.objects.filter(tenant=tenant).first()
        # A stack without outputs is a finding of its own.
        urls = self._secrets(tenant) if stack is not None and stack.secret_outputs else {}
        for name in ("postgres_url", "vector_url") if urls else ():
            with psycopg.connect(urls[name]) as connection:
                names = [row[0] for row in connection.execute("SELECT datname FROM pg_database").fetchall()]
            beside = [each for each in names if each.endswith(("_restoring", "_replaced"))]
            if beside:
                found.append(f"{beside} are left of a restore")
        return found

    def _operation_wrong(self, crash: Crash) -> list[str]:
        operation, found = crash.operation, []
        operation.refresh_from_db()
        if operation.state != states.SUCCEEDED:
            found.append(f"{operation.kind} ended {operation.state}: {operation.error}")
        unfinished = [s.name for s in operation.steps.all() if s.state != states.STEP_SUCCEEDED]
        if operation.state == states.SUCCEEDED and unfinished:
            found.append(f"succeeded with unfinished steps {unfinished}")
        left = processes_marked(operation_mark(operation.id))
        if not wait_until(lambda: not processes_marked(operation_mark(operation.id)), 3.0):
            found.append(f"{len(left)} processes of the operation are left")
        # A crash of the provider itself leaves nothing in the state to settle: there, creating again is right.
        if crash.victim in ("worker", "runner", "cli"):
            # These have no existence of their own: no GPU held, and no earlier login left, is their state too.
            bare = (".gpu.", ".retirement.")
            again = [
                each
                for each in self._trace()
                if ".existing" in each and not any(part in each for part in bare)
            ]
            if again:
                found.append(f"what existed was created again: {again}")
        return found

    def _trace(self) -> list[str]:
        path = self.root / "points" / "trace"
        return path.read_text().splitlines() if path.exists() else []

    def trace_clear(self) -> None:
        (self.root / "points" / "trace").unlink(missing_ok=True)

    def _units(self, tenant: Tenant) -> list[str]:
        """The folder of every server process of the tenant: one entry a server, so two show as two."""
        base = self.root / "tenants" / tenant.slug
        marked = {identity.pid for identity in processes_marked(str(base))}
        servers = []
        for pid in marked:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                if process.ppid() not in marked:
                    servers.append(Path(process.environ()[MARK_VARIABLE]).relative_to(base).parts[0])
        return servers

    def _files(self, tenant: Tenant) -> list[str]:
        folder = self.root / "tenants" / tenant.slug
        return [str(path) for path in folder.rglob("*")] if folder.exists() else []

    def _state(self, tenant: Tenant) -> dict[str, Any]:
        for key, data in self._rows():
            if key.endswith(f"stacks/freehold/{tenant.slug}.json"):
                # The backend keeps files as base64 in JSON.
                checkpoint = json.loads(base64.b64decode(json.loads(data)["data"]))["checkpoint"]
                latest = checkpoint.get("latest") or {}
                return dict(latest)
        return {}

    def _state_text(self, tenant: Tenant) -> str:
        return next((data for key, data in self._rows() if key.endswith(f"/{tenant.slug}.json")), "")

    def row_write(self, tenant: Tenant) -> None:
        """Something in the tenant's own database that must not get lost."""
        with psycopg.connect(self._database_url(tenant)) as connection:
            connection.execute("CREATE TABLE crash_row (text text)")
            connection.execute("INSERT INTO crash_row VALUES ('precious')")

    def row_there(self, tenant: Tenant) -> bool:
        with psycopg.connect(self._database_url(tenant)) as connection:
            return connection.execute("SELECT text FROM crash_row").fetchall() == [("precious",)]

    def database_url(self, tenant: Tenant) -> str:
        """Of the tenant's own database, with the password that is good now."""
        return self._database_url(tenant)

    def database_opens(self, url: str) -> bool:
        try:
            with psycopg.connect(url, connect_timeout=5):
                return True
        except psycopg.OperationalError:
            return False

    def row_spoil(self, tenant: Tenant) -> None:
        """What a restore has to undo."""
        with psycopg.connect(self._database_url(tenant)) as connection:
            connection.execute("UPDATE crash_row SET text = 'spoiled'")

    def server_pid(self, tenant: Tenant) -> int:
        """Of the tenant's Postgres, which no kill of ours may touch."""
        folder = self.root / "tenants" / tenant.slug / "postgres" / "data"
        return int((folder / "postmaster.pid").read_text().split("\n", 1)[0])

    def _database_url(self, tenant: Tenant) -> str:
        return str(self._secrets(tenant)["postgres_url"])

    def _secrets(self, tenant: Tenant) -> dict[str, Any]:
        stack = Stack.objects.get(tenant=tenant)
        return dict(decrypt(stack.secret_outputs, context=secret_context(tenant.id)))

    def _refusals(self) -> int:
        log = self.postgres.server.log_path.read_text(errors="replace")
        # A role that is barred may not log in; one that was removed meanwhile has no password to match.
        return len(re.findall(r'FATAL: .*"freehold_run_\w+"', log))

    def _locks(self) -> list[str]:
        return [key for key, _ in self._rows() if "/locks/" in key]

    def _rows(self) -> list[tuple[str, str]]:
        with psycopg.connect(self.state_url) as connection:
            if connection.execute("SELECT to_regclass('pulumi_state')").fetchone() == (None,):
                return []
            rows = connection.execute("SELECT key, data::text FROM pulumi_state").fetchall()
        return [(str(row[0]), str(row[1])) for row in rows]

    def log_tail(self) -> str:
        return (self.root / "logs" / "workers.log").read_text(errors="replace")[-1500:]


def _now() -> Any:
    from controlplane.core import clock

    return clock.now()


def _kill(pid: int) -> None:
    """SIGKILL, and the wait until it is carried out: on a busy machine a killed process still looks alive for
    a moment, and whoever restarts a server in that moment would find it running."""
    identity = ProcessIdentity.of(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    if identity is not None and not process_wait_gone(identity, 10.0):
        raise AssertionError(f"process {pid} outlived SIGKILL by 10 s")


def _alive(pids: list[int]) -> bool:
    return any(ProcessIdentity.of(pid) is not None for pid in pids)


def _role(process: psutil.Process) -> str:
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:  # it ends while it is looked at
        return ""
    if "pulumi-resource-local" in line:
        return "provider"
    if "controlplane.operations.runner" in line:
        return "runner"
    if "tests.crash.worker" in line:
        return "worker"
    return "cli" if process.name() == "pulumi" else ""
