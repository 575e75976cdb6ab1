"""`python -m benchmarks.portal_measure REPORT`: what benchmarks/portal.py runs in a process of its own."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.figures import Figure, Result, percentile, single, spread
from benchmarks.ingest import django_start
from benchmarks.portal_fleet import Fleet, fleet_make
from benchmarks.private import ROOT, BenchmarkError
from benchmarks.progress import say
from embedded.ports import free_port

REQUESTS = 40
PROBES = 50
#: The largest paint and the sum of layout shifts since the page began to load, in ms and as the browser scores them.
VITALS = """() => new Promise((done) => {
  let paint = 0, shift = 0;
  new PerformanceObserver((list) => { for (const each of list.getEntries()) paint = each.startTime; })
    .observe({ type: "largest-contentful-paint", buffered: true });
  new PerformanceObserver((list) => { for (const each of list.getEntries()) shift += each.value; })
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done([paint, shift]), 400);
})"""
WATCH_LOG = """() => {
  window.shown = {};
  new MutationObserver((changes) => {
    for (const change of changes) for (const line of change.addedNodes)
      if (line.id) window.shown[line.id.replace("event-", "")] ??= Date.now();
  }).observe(document.getElementById("op-log"), { childList: true });
}"""


def main(report: Path) -> None:
    django_start(os.environ["DATABASE_URL"], os.environ["REDIS_URL"])
    fleet = fleet_make()
    with _server() as address:
        cookies = _sign_in(address, fleet)
        pages = _pages(fleet)
        figures = [
            *_server_times(address, cookies, pages),
            *_queries(fleet, pages),
            *_in_a_browser(address, cookies, pages, fleet),
        ]
    facts = {
        **{name: str(number) for name, number in fleet.sizes.items()},
        "server": "one uvicorn process; each request signed in, one after the other",
        "browser": "Chromium, headless, on the same machine, nothing cached",
        "pages": ", ".join(pages.values()),
    }
    report.write_text(Result(name="portal", figures=figures, facts=facts).model_dump_json(), encoding="utf-8")


def _pages(fleet: Fleet) -> dict[str, str]:
    busy = fleet.busy_tenant
    return {
        "overview": "/",
        "tenants": "/tenants/",
        "tenants, searched": "/tenants/?q=customer-099",
        "tenants, sorted, page 100": "/tenants/?sort=health&page=100",
        "operations": "/operations/",
        "operations, failed, page 20": "/operations/?state=failed&page=20",
        "an operation under way": f"/operations/{fleet.live_operation.id}/",
        "a tenant": f"/tenants/{busy}/",
        "a tenant's usage": f"/tenants/{busy}/usage/",
        "a tenant's billing": f"/tenants/{busy}/billing/",
        "a tenant's cost": f"/tenants/{busy}/cost/",
        "a tenant's budgets": f"/tenants/{busy}/budgets/",
        "a tenant's credits": f"/tenants/{busy}/credits/",
        "usage of all tenants": "/usage/",
        "usage of all tenants, hours of runtimes": "/usage/?meter=runtime_hours",
        "margin": "/margin/",
        "margin, by cost, page 20": "/margin/?sort=-cost&page=20",
        "budgets": "/budgets/",
        "invoices": "/invoices/",
        "onboarding": "/tenants/new/",
    }


@contextmanager
def _server() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "controlplane.config.asgi:application", "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, "--log-level", "warning", "--timeout-graceful-shutdown", "1"],
            env={**os.environ, "FREEHOLD_PORT": str(port)},
            stdout=log,
            stderr=log,
            cwd=ROOT,
        )
        address = f"http://127.0.0.1:{port}"
        try:
            end = time.monotonic() + 30
            while time.monotonic() < end:
                try:
                    if httpx.get(f"{address}/account/login/", timeout=5).status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.1)
            else:
                raise BenchmarkError("the server did not come up")
            yield address
        finally:
            process.terminate()
            process.wait(10)


def _sign_in(address: str, fleet: Fleet) -> dict[str, str]:
    with httpx.Client(base_url=address, timeout=30) as client:
        form = client.get("/account/login/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        if token is None:
            raise BenchmarkError("the sign-in page has no form")
        fields = {"login": fleet.email, "password": fleet.password, "csrfmiddlewaretoken": token[1]}
        answer = client.post("/account/login/", data=fields, headers={"Referer": address})
        if answer.status_code != 302:
            raise BenchmarkError(f"signing in was answered with {answer.status_code}")
        return dict(client.cookies)


def _server_times(address: str, cookies: dict[str, str], pages: dict[str, str]) -> Iterator[Figure]:
    with httpx.Client(base_url=address, cookies=cookies, timeout=60, follow_redirects=True) as client:
        for name, path in pages.items():
            took = []
            for number in range(REQUESTS + 2):
                started = time.perf_counter()
                answer = client.get(path)
                if answer.status_code != 200:
                    raise BenchmarkError(f"{path} was answered with {answer.status_code}")
                if number >= 2:
                    took.append((time.perf_counter() - started) * 1000)
            say(f"{name}: {percentile(took, 0.5):.0f} ms")
            yield spread(f"server time, {name}", "ms", took)


def _queries(fleet: Fleet, pages: dict[str, str]) -> Iterator[Figure]:
    """Asked in this process, where they can be counted; read a second time, as the server's times are."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from controlplane.accounts.models import User

    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(User.objects.get(email=fleet.email))
    counts: dict[str, int] = {}
    for name, path in pages.items():
        client.get(path)
        with CaptureQueriesContext(connection) as queries:
            client.get(path)
        slowest = max(float(query["time"]) for query in queries)
        say(f"{name}: {len(queries)} queries, the slowest {slowest * 1000:.0f} ms")
        counts[name] = len(queries)
    yield single("queries of the page that asks most", "queries", max(counts.values()), n=len(counts))


def _in_a_browser(
    address: str, cookies: dict[str, str], pages: dict[str, str], fleet: Fleet
) -> Iterator[Figure]:
    from playwright.sync_api import sync_playwright

    # Playwright's synchronous API runs an event loop in this thread, which Django takes for async code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    executable = shutil.which("chromium")
    if executable is None:
        raise BenchmarkError("no Chromium: run tools/install-chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        paints: list[float] = []
        shifts: dict[str, float] = {}
        for name, path in pages.items():
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            context.add_cookies(
                [{"name": key, "value": value, "url": address} for key, value in cookies.items()]
            )
            page = context.new_page()
            page.goto(address + path)
            paint, shift = page.evaluate(VITALS)
            paints.append(float(paint))
            shifts[name] = float(shift)
            say(f"{name}: largest paint {paint:.0f} ms, layout shift {shift:.5f}")
            context.close()
        yield spread("largest contentful paint, over the pages", "ms", paints)
        worst = max(shifts.values())
        yield single("layout shift of the page that shifts most", "score", worst, n=len(shifts))
        context = browser.new_context()
        context.add_cookies([{"name": key, "value": value, "url": address} for key, value in cookies.items()])
        page = context.new_page()
        page.goto(f"{address}/operations/{fleet.live_operation.id}/")
        page.locator("[data-live-state=live], [data-state=live]").first.wait_for()
        yield spread("an event's way from its insert to the screen", "ms", _ways(page, fleet))
        browser.close()


def _ways(page: Any, fleet: Fleet) -> list[float]:
    from controlplane.core import clock
    from controlplane.operations.events import events_append
    from controlplane.operations.models import OperationEvent

    page.evaluate(WATCH_LOG)
    ways = []
    for number in range(PROBES):
        data = {"severity": "info", "message": f"probe {number}", "urn": "", "phase": "up"}
        begun = time.time() * 1000
        events_append(operation_id=fleet.live_operation.id, at=clock.now(), events=[("diagnostic", data)])
        event = OperationEvent.objects.filter(operation=fleet.live_operation).latest("id")
        page.wait_for_function("(id) => window.shown[id]", arg=str(event.id), timeout=10_000)
        ways.append(float(page.evaluate("(id) => window.shown[id]", str(event.id))) - begun)
    return ways


if __name__ == "__main__":
    main(Path(sys.argv[1]))
