"""Imports go one way (ARCHITECTURE.md). Any that does not is named with its file and line."""

from pathlib import Path

import pytest

from tests.architecture.imports import OURS, violations

ROOT = Path(__file__).resolve().parent.parent.parent

#: Known exceptions: (file, imported module) -> why it is there still. This table may only shrink.
EXCEPTIONS: dict[tuple[str, str], str] = {}


def test_every_import_fits_the_rooms() -> None:
    unknown = [str(each) for each in violations(ROOT) if (each.path, each.imported) not in EXCEPTIONS]
    assert not unknown, "imports that do not fit:\n" + "\n".join(unknown)


def test_no_exception_has_outlived_its_reason() -> None:
    found = {(each.path, each.imported) for each in violations(ROOT)}
    stale = sorted(set(EXCEPTIONS) - found)
    assert not stale, f"these imports are mended; take them out of EXCEPTIONS: {stale}"


def test_every_package_of_ours_is_looked_at() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert packages == set(OURS)


PLANTED = [
    ("contracts/stack.py", "from embedded import ports", "contracts imports embedded"),
    ("contracts/stack.py", "import django", "must run without Django"),
    ("embedded/redis.py", "from contracts.base import Contract", "may import only itself"),
    (
        "stacks/targets/local.py",
        "from controlplane.core import clock",
        "stacks imports controlplane.core.clock",
    ),
    ("stacks/targets/local.py", "from django.conf import settings", "must run without Django"),
    ("tenant_runtime/runtime.py", "import billing.period", "tenant_runtime imports billing.period"),
    ("tenant_runtime/runtime.py", "from stacks import errors", "tenant_runtime imports stacks.errors"),
    (
        "billing/period.py",
        "from controlplane.tenants.models import Tenant",
        "billing imports controlplane.tenants",
    ),
    ("controlplane/core/audit.py", "from controlplane.accounts import roles", "controlplane.core imports"),
    (
        "controlplane/accounts/access.py",
        "import controlplane.tenants.models",
        "controlplane.accounts imports",
    ),
    ("controlplane/operations/executor.py", "from controlplane.tenants import states", "operations imports"),
    (
        "controlplane/operations/executor.py",
        "from stacks.targets import target_program",
        "operations imports stacks",
    ),
    (
        "controlplane/operations/executor.py",
        "from billing.rating.rate import rate",
        "operations imports billing",
    ),
    ("controlplane/operations/runner.py", "from controlplane.core import clock", "runner imports"),
    ("controlplane/operations/runner.py", "from django.db import connection", "must run without Django"),
    (
        "controlplane/tenants/services.py",
        "from controlplane.api import base",
        "tenants imports controlplane.api",
    ),
    ("controlplane/api/tenants.py", "import controlplane.config.settings", "api imports controlplane.config"),
    ("controlplane/portal/views.py", "from controlplane.api.tenants import etag_of", "portal imports"),
    ("controlplane/cli/up.py", "from controlplane.core import clock", "cli imports controlplane.core"),
    ("controlplane/cli/up.py", "from django.conf import settings", "must run without Django"),
    ("controlplane/surprise/room.py", "from controlplane.core import clock", "has no rules"),
    (
        "controlplane/tenants/selectors.py",
        "from controlplane.tenants import services",
        "selectors lie below services",
    ),
    (
        "controlplane/tenants/models.py",
        "from controlplane.tenants import selectors",
        "models lie below selectors",
    ),
    ("billing/metering/models.py", "from billing.metering import services", "models lie below services"),
    (
        "controlplane/core/ids.py",
        "def f():\n    from controlplane.cli import up",
        "core imports controlplane.cli",
    ),
    ("controlplane/core/ids.py", "from ..tenants import models", "core imports controlplane.tenants"),
    (
        "stacks/targets/local.py",
        "import importlib\nimportlib.import_module('billing.period')",
        "imports billing",
    ),
]


@pytest.mark.parametrize(("path", "source", "said"), PLANTED)
def test_a_planted_import_is_caught(tmp_path: Path, path: str, source: str, said: str) -> None:
    _plant(tmp_path, path, source)
    found = violations(tmp_path)
    assert len(found) == 1
    assert said in str(found[0])
    assert str(found[0]).startswith(f"{path}:{source.count(chr(10)) + 1}: ")


FITTING = [
    ("controlplane/operations/runner.py", "from stacks.targets import target_program"),
    ("controlplane/fleet/planner.py", "from stacks.targets import target_program"),
    ("controlplane/operations/record.py", "from billing.metering.spans import spans_reconcile"),
    ("controlplane/operations/process.py", "from embedded.processes import process_stop"),
    ("controlplane/portal/views.py", "from controlplane.api.idempotency import once"),
    ("controlplane/api/usage.py", "from billing.reports.selectors import usage_report"),
    ("controlplane/config/urls.py", "import controlplane.portal.urls"),
    ("controlplane/core/locks.py", "from controlplane.core.models import AuditHead"),
    ("tenant_runtime/runtime.py", "from contracts.usage import UsageEvent"),
]


@pytest.mark.parametrize(("path", "source"), FITTING)
def test_a_fitting_import_is_let_through(tmp_path: Path, path: str, source: str) -> None:
    _plant(tmp_path, path, source)
    assert violations(tmp_path) == []


def _plant(root: Path, path: str, source: str) -> None:
    """The file with that source, in a tree that has the modules the sources name."""
    for module in [
        "embedded/ports.py",
        "controlplane/core/clock.py",
        "controlplane/accounts/roles.py",
        "controlplane/cli/up.py",
        "controlplane/tenants/states.py",
        "controlplane/tenants/services.py",
        "controlplane/tenants/selectors.py",
        "controlplane/tenants/models.py",
        "controlplane/api/base.py",
        "billing/metering/services.py",
        "stacks/errors.py",
    ]:
        (root / module).parent.mkdir(parents=True, exist_ok=True)
        (root / module).touch()
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(source + "\n")
