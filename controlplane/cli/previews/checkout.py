"""Plans by the program of a checked-out commit: each stack is exported, and planned by the checkout's own code."""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.labels import is_production
from controlplane.cli.client import Api, segment
from controlplane.cli.errors import CliError
from controlplane.cli.previews.fetch import Fetched, tenants_chosen
from controlplane.cli.previews.model import TenantPreview, tenant_preview

#: What the planner may see of this process: never the API's key, nor a cloud's login that a CI job has.
_PASSED = (
    "HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "USER", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE",
    "FREEHOLD_PULUMI", "FREEHOLD_POLICY_FILES", "FREEHOLD_POLICY_EXCEPTIONS", "FREEHOLD_PRICE_TABLES",
    "FREEHOLD_RUNTIME_MODULE",
)  # fmt: skip
_AT_ONCE = 4


@dataclass(frozen=True)
class Checkout:
    """A checkout of this repository, with an environment of its own."""

    root: Path

    @property
    def python(self) -> Path:
        return self.root / ".venv" / "bin" / "python"

    def require(self) -> None:
        if not (self.root / "stacks" / "preview").is_dir():
            raise CliError(
                f"{self.root} is not a checkout with a stack program (no stacks/preview in it).",
                hint="Go there, or name it: --checkout FOLDER. Or --program installed.",
            )
        if not self.python.exists():
            raise CliError(f"{self.root} has no environment yet.", hint="Make it: python3 tools/bootstrap.py")


def exports_fetch(api: Api, slugs: Sequence[str] | None) -> list[dict[str, Any]]:
    """The stacks of these tenants, or of all that have one. A refusal is kept in place of its export."""
    found = []
    for tenant in tenants_chosen(api, slugs):
        try:
            found.append(api.get(f"tenants/{segment(tenant['slug'])}/stack/export"))
        except CliError as refused:
            found.append(
                {"spec": {"slug": tenant["slug"], "labels": tenant["labels"]}, "error": refused.message}
            )
    return found


def exports_read(folder: Path, slugs: Sequence[str] | None) -> list[dict[str, Any]]:
    """The files SLUG.json of a folder. CliError when one is missing or is no export."""
    names = (
        [f"{slug}.json" for slug in slugs] if slugs is not None else [p.name for p in folder.glob("*.json")]
    )
    found = []
    for name in sorted(names):
        try:
            export = json.loads((folder / name).read_text(encoding="utf-8"))
            found.append({**export, "spec": {"labels": {}, **export["spec"]}})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CliError(
                f"{folder / name} cannot be read as an exported stack ({type(error).__name__}).",
                hint="freehold tenants export SLUG > SLUG.json",
            ) from error
    if not found:
        raise CliError(f"{folder} holds no exported stack.", hint="freehold tenants export SLUG > SLUG.json")
    return found


def exports_plan(
    exports: Sequence[dict[str, Any]], *, checkout: Checkout, timeout_s: float, told: Callable[[str], None]
) -> list[Fetched]:
    """Each export's plan, or why there is none. CliError when the checkout cannot plan at all."""
    checkout.require()
    with (
        tempfile.TemporaryDirectory(prefix="freehold-preview-") as home,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        # One for all, so that a plugin is downloaded once.
        env = {name: os.environ[name] for name in _PASSED if name in os.environ} | {"PULUMI_HOME": home}
        plans = pool.map(lambda export: _planned(export, checkout, env, timeout_s), exports)
        found = []
        for number, fetched in enumerate(plans, 1):
            found.append(fetched)
            told(f"{number} of {len(exports)}: {fetched.preview.slug}")
    return found


def _planned(export: dict[str, Any], checkout: Checkout, env: dict[str, str], timeout_s: float) -> Fetched:
    slug, labels = str(export["spec"]["slug"]), export["spec"]["labels"]
    error = str(export.get("error", ""))
    if not error:
        try:
            done = subprocess.run(
                [str(checkout.python), "-m", "stacks.preview"],
                cwd=checkout.root,
                env=env,
                input=json.dumps(export),
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
            if done.returncode == 0:
                plan = json.loads(done.stdout)
                return Fetched(tenant_preview({"slug": slug, "labels": labels}, plan), plan)
            error = done.stderr.strip()[-2000:] or f"the planner ended with exit code {done.returncode}"
        except subprocess.TimeoutExpired:
            error = f"no plan within {timeout_s:.0f} s"
    preview = TenantPreview(slug=slug, production=is_production(labels), error=error)
    return Fetched(preview, {"tenant": slug, "error": error})
