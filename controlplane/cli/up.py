"""`freehold up`: the main job from a prepared checkout to an agent's answer and what it cost. Idempotent."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from controlplane.cli import runtime as runtimes
from controlplane.cli.client import Api, Credentials, operation_wait
from controlplane.cli.errors import CliError, Missing
from controlplane.cli.externals import externals_check
from controlplane.cli.home import ROOT, Home, Ports
from controlplane.cli.lifecycle import (
    manage,
    supervisor_phase_wait,
    supervisor_start,
    tenants_host,
    web_ready_wait,
)
from controlplane.cli.locking import up_lock
from controlplane.cli.moving import tenants_follow_port
from controlplane.cli.output import data_console, event_line, narration, print_table, say
from embedded.processes import file_write_private

TENANT = "acme"
ADMIN_EMAIL = "admin@freehold.local"
AGENT = "document_analyst"
QUESTION = "What happens to an operation when the worker that runs it dies?"
PROVISION_DEADLINE_S = 240.0
USAGE_DEADLINE_S = 30.0


@dataclass
class Outcome:
    """What `up` found out on its way; becomes up.json and the summary."""

    timings: dict[str, float] = field(default_factory=dict)
    admin: dict[str, str] = field(default_factory=dict)
    timeline: list[str] = field(default_factory=list)
    answer: str = ""
    citations: list[dict[str, Any]] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)
    preview: dict[str, Any] = field(default_factory=dict)


class Up:
    def __init__(self, home: Home) -> None:
        self.home = home
        self.outcome = Outcome()
        self.step_number = 0

    def run(self) -> Outcome:
        with up_lock(self.home):
            return self._run()

    def _run(self) -> Outcome:
        started = time.monotonic()
        with self._step("Services: Postgres, Redis, web, worker, scheduler"):
            externals_check()
            ports = supervisor_start(self.home)
            # An `up` that was interrupted here leaves a supervisor that still waits for its migrations.
            if supervisor_phase_wait(self.home, ("databases", "running")) == "databases":
                manage(self.home, ports, "database_prepare")
                (self.home.run / "migrated").touch(mode=0o600)
            supervisor_phase_wait(self.home, ("running",))
        with self._step("Tenants' processes"):
            self._boot_tenants()
        with self._step("Administrator and API key"):
            kept = self._administrator(ports)
            web_ready_wait(self.home, ports)
            api = Api(Credentials(f"http://127.0.0.1:{ports.web}/api/v1", kept["api_key"]))
            tenants_follow_port(api, self.home, ports.web)
        with self._step(f"Tenant {TENANT} on the local target, by the real Pulumi engine"):
            tenant = self._tenant(api)
        with self._step("Documents: Freehold's own guides into the tenant's long-term memory"):
            runtime = runtimes.runtime_connect(api, self.home, TENANT)
            self._documents(runtime)
        with self._step(f"Agent {AGENT}: one task in the tenant's runtime"):
            runs_before = meter_total(api.get(f"tenants/{TENANT}/usage-report"), "agent_runs")
            self._agent(runtime)
        with self._step("Usage report and invoice preview"):
            self._usage(api, runs_before)
        self.outcome.timings["total_s"] = round(time.monotonic() - started, 1)
        self._write_up_file(ports, tenant, runtime, kept)
        return self.outcome

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        """Narrates one step and names it when it fails."""
        self.step_number += 1
        label = f"[{self.step_number}/7] {what}"
        started = time.monotonic()
        say(f"[bold]{label.replace('[', chr(92) + '[', 1)}[/bold] …")
        try:
            yield
        except CliError as error:
            error.message = f"Step '{what}' failed: {error.message}"
            raise
        say(f"      done in {time.monotonic() - started:.1f} s")

    # --- steps ---------------------------------------------------------------------------------------
    def _boot_tenants(self) -> None:
        reports = tenants_host(self.home, "boot")
        failed = [unit for unit in reports if unit["state"] != "running"]
        if reports:
            say(f"      {len(reports) - len(failed)} of {len(reports)} run")
        for unit in failed:
            # Not fatal here: the tenant's health says so, and an update operation puts it right.
            say(f"      {unit['tenant']}/{unit['name']} did not start: {unit.get('error') or unit['state']}")

    def _administrator(self, ports: Ports) -> dict[str, str]:
        path = self.home.secrets / "administrator.json"
        email = os.environ.get("FREEHOLD_ADMIN_EMAIL", ADMIN_EMAIL)
        manage(self.home, ports, "bootstrap_admin", "--email", email, "--secrets-file", str(path))
        kept: dict[str, str] = json.loads(path.read_text())
        self.outcome.admin = {"email": kept["email"], "password": kept["password"]}
        return kept

    def _tenant(self, api: Api) -> dict[str, Any]:
        operation_id, tenant = self._tenant_operation(api)
        if operation_id is not None:
            operation = operation_wait(
                api, operation_id, timeout_s=PROVISION_DEADLINE_S, on_event=self._on_event
            )
            if operation["state"] != "succeeded":
                error = operation["error"] or {}
                raise CliError(
                    f"{error.get('title', 'The operation failed')}: {error.get('detail', '')}",
                    hint=str(error.get("hint", "")) + f"\nfreehold operations retry {operation_id}",
                )
            tenant = api.get(f"tenants/{TENANT}")
        for past in api.get(f"tenants/{TENANT}/timeline")["results"]:
            if past["kind"] == "provision" and past["state"] == "succeeded":
                self.outcome.timings["provision_s"] = seconds_between(past["started_at"], past["finished_at"])
        if not self.outcome.timeline and tenant["stack"]["last_operation"]:
            self._timeline_of(api, tenant["stack"]["last_operation"])
        return tenant

    def _tenant_operation(self, api: Api) -> tuple[str | None, dict[str, Any]]:
        """The operation to follow, if any, and the tenant: created, taken over under way, retried or left alone."""
        try:
            tenant = api.get(f"tenants/{TENANT}")
        except Missing:
            tenant = {}
        if not tenant or tenant["lifecycle"] == "deprovisioned":
            body = {"slug": TENANT, "name": "Acme Corporation", "plan": "starter", "target": "local"}
            created = api.post("tenants", body)
            return str(created["operation"]["id"]), created["tenant"]
        last = tenant["stack"]["last_operation"]
        operation = api.get(f"operations/{last}") if last else None
        if operation and operation["state"] in ("queued", "planning", "applying"):
            return str(last), tenant
        if tenant["lifecycle"] == "failed" and operation:
            say("      the last operation failed; retrying it")
            return str(api.post(f"operations/{last}/retry")["id"]), tenant
        if tenant["lifecycle"] != "active":
            raise CliError(
                f"The tenant {TENANT} is {tenant['lifecycle']}.", hint=f"freehold tenants show {TENANT}"
            )
        if not runtimes.runtime_answers(tenant["runtime_url"]):
            say("      its runtime does not answer; an update puts the stack right")
            return str(
                api.post(f"tenants/{TENANT}/update", {"reason": "up: runtime down"})["operation"]["id"]
            ), tenant
        say("      active already")
        return None, tenant

    def _on_event(self, event: dict[str, Any]) -> None:
        line = event_line(event)
        if line is not None:
            self.outcome.timeline.append(line)
            narration.print(f"      {line}", markup=False)

    def _timeline_of(self, api: Api, operation_id: str) -> None:
        for event in api.events(operation_id, 0):
            line = event_line(event)
            if line is not None:
                self.outcome.timeline.append(line)

    def _documents(self, runtime: runtimes.Runtime) -> None:
        documents = list(runtimes.documents_read(ROOT / "docs"))
        counts = runtimes.documents_ingest(runtime, documents)
        say("      " + ", ".join(f"{value} {name}" for name, value in counts.items()))

    def _agent(self, runtime: runtimes.Runtime) -> None:
        started = time.monotonic()
        values = runtimes.agent_run(runtime, QUESTION, agent=AGENT)
        self.outcome.timings["agent_run_s"] = round(time.monotonic() - started, 2)
        self.outcome.answer = runtimes.answer_text(values)
        self.outcome.citations = list(values.get("citations") or [])
        if not self.outcome.answer:
            raise CliError("The agent gave no answer.", hint=f"freehold runs create {TENANT} '{QUESTION}'")

    def _usage(self, api: Api, runs_before: float) -> None:
        """Waits until this run is in the report: events travel through the runtime's outbox."""
        deadline = time.monotonic() + USAGE_DEADLINE_S
        while True:
            report = api.get(f"tenants/{TENANT}/usage-report")
            if meter_total(report, "agent_runs") > runs_before and meter_total(report, "input_tokens") > 0:
                break
            if time.monotonic() > deadline:
                raise CliError(
                    f"The run's usage did not arrive within {USAGE_DEADLINE_S:.0f} s.",
                    hint=f"The runtime's log is below {self.home.tenants / TENANT}.",
                )
            time.sleep(0.3)
        self.outcome.report = report
        self.outcome.preview = api.get(f"tenants/{TENANT}/invoice-preview")

    def _write_up_file(
        self, ports: Ports, tenant: dict[str, Any], runtime: runtimes.Runtime, kept: dict[str, str]
    ) -> None:
        path = self.home.up_file
        document = {
            "portal_url": f"http://127.0.0.1:{ports.web}/",
            "api_url": f"http://127.0.0.1:{ports.web}/api/v1",
            "admin": self.outcome.admin,
            "api_key": kept["api_key"],
            "tenant": {"slug": TENANT, "runtime_url": runtime.url, "runtime_api_key": runtime.api_key},
            "timings": {
                name: self.outcome.timings.get(name) for name in ("total_s", "provision_s", "agent_run_s")
            },
            "pulumi": {
                "cli": str(pulumi_executable()),
                "backend_url": os.environ.get("PULUMI_BACKEND_URL") or self.home.secret("pulumi_backend_url"),
                "passphrase_file": os.environ.get(
                    "PULUMI_CONFIG_PASSPHRASE_FILE", str(self.home.secrets / "pulumi_passphrase")
                ),
                "stack": tenant["stack"]["name"],
            },
        }
        file_write_private(path, json.dumps(document, indent=2) + "\n")


def meter_total(report: dict[str, Any], meter: str) -> float:
    """A meter's total in a usage report; 0 when it has none."""
    return sum(float(row["total"]) for row in report["meters"] if row["meter"] == meter)


def seconds_between(start: str, end: str) -> float:
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds(), 1)


def pulumi_executable() -> Path:
    return Path(os.environ.get("FREEHOLD_PULUMI", ROOT / ".tools")) / "bin" / "pulumi"


def summary_print(outcome: Outcome, home: Home) -> None:
    """The end of `make up`: where to go, what happened, what the agent said, what it cost."""
    up = json.loads(home.up_file.read_text())
    line = data_console.print
    line()
    line("[bold]Freehold is up.[/bold]")
    line(f"  Portal     {up['portal_url']}")
    line(f"  Login      {up['admin']['email']}  {up['admin']['password']}", markup=False)
    line(
        f"  Runtime    {up['tenant']['runtime_url']}  (tenant {TENANT}; its key is in {home.up_file})",
        markup=False,
    )
    line()
    line("[bold]Operation timeline[/bold]")
    for entry in outcome.timeline:
        line(f"  {entry}", markup=False)
    line()
    line(f"[bold]Agent {AGENT}[/bold]  ({up['timings']['agent_run_s']} s)")
    line(f"  Q: {QUESTION}", markup=False)
    for text in outcome.answer.splitlines():
        line(f"  {text}", markup=False)
    line()
    line(f"[bold]Usage of {TENANT} in {outcome.report['period']}[/bold]")
    rows = [(m["description"], m["total"], m["unit"], m["amount"]) for m in outcome.report["meters"]]
    print_table(("meter", "quantity", "unit", f"amount {outcome.report['currency']}"), rows)
    line()
    preview = outcome.preview
    line(f"[bold]Invoice preview[/bold]  {preview['period']['from'][:10]} to {preview['period']['to'][:10]}")
    print_table(("line", "amount"), [(entry["description"], entry["amount"]) for entry in preview["lines"]])
    line(f"  total {preview['total']} {preview['currency']}")
    line()
    line(f"Took {up['timings']['total_s']} s (provisioning {up['timings']['provision_s']} s). Next:")
    line(f'  .venv/bin/freehold runs create {TENANT} "How is a tenant deleted?"', markup=False)
    line("  .venv/bin/freehold tenants create globex --plan starter --target local", markup=False)
    line("  make down", markup=False)
