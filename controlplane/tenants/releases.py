"""Which releases of the tenant runtime this control plane can run, and which one a tenant is pinned to.

The release it ships runs from its own installation. Others are environments of their own, put by an operator at
`FREEHOLD_HOME/runtimes/VERSION` with an interpreter at `bin/python`.
"""

import re
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from django.conf import settings

from controlplane.core.audit import audit_record
from controlplane.core.errors import Conflict, ValidationFailed
from controlplane.tenants.models import Tenant

_NAME = re.compile(r"[0-9][0-9A-Za-z.+-]{0,62}")


def release_shipped() -> str:
    return version("freehold")


def releases_known() -> list[str]:
    """The shipped one, then the installed ones, newest first."""
    shipped = release_shipped()
    folder: Path = settings.FREEHOLD_HOME / "runtimes"
    found = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    installed = [
        name for name in found if name != shipped and _NAME.fullmatch(name) and _python(name).exists()
    ]
    return [shipped, *sorted(installed, key=_order, reverse=True)]


def release_of(tenant: Tenant) -> str:
    """What the tenant is pinned to; one that was never pinned follows the shipped release."""
    return tenant.runtime_version or release_shipped()


def release_python(release: str) -> str | None:
    """The interpreter it runs from, there or not; None for the shipped one, which runs from our own."""
    return None if release == release_shipped() else str(_python(release))


def release_check(release: str, *, pointer: str) -> None:
    """Raises ValidationFailed naming those that are known."""
    known = releases_known()
    if release not in known:
        detail = f"must be one of {', '.join(known)}"
        raise ValidationFailed(f"{pointer[1:]}: {detail}.", errors=[{"pointer": pointer, "detail": detail}])


def release_demand(tenant: Tenant) -> None:
    """Raises Conflict when what the tenant is pinned to cannot be started here any more."""
    known = releases_known()
    if release_of(tenant) not in known:
        raise Conflict(
            f"{tenant.slug} is pinned to runtime {release_of(tenant)}, which is not installed here.",
            code="runtime_version_missing",
            hint=f"Install it at {_python(release_of(tenant)).parent.parent}, or move on: freehold tenants upgrade "
            f"{tenant.slug}. Known are {', '.join(known)}.",
        )


def release_pin(*, tenant: Tenant, release: str | None, actor: str, now: datetime) -> None:
    """Pins the tenant, whose row must be locked, to a known release; None: the shipped one."""
    wanted = release or release_shipped()
    release_check(wanted, pointer="/version")
    if wanted == tenant.runtime_version:
        return
    before, tenant.runtime_version = tenant.runtime_version, wanted
    tenant.updated_at = max(now, tenant.updated_at + timedelta(microseconds=1))
    tenant.save(update_fields=["runtime_version", "updated_at"])
    audit_record(
        at=now,
        actor=actor,
        action="tenant.updated",
        subject_type="tenant",
        subject_id=str(tenant.id),
        team_id=tenant.team_id,
        data={"before": {"runtime_version": before}, "after": {"runtime_version": wanted}},
    )


def _python(release: str) -> Path:
    home: Path = settings.FREEHOLD_HOME
    return home / "runtimes" / release / "bin" / "python"


def _order(release: str) -> list[tuple[int, str]]:
    """Numbers by size: 0.10 comes after 0.9, and 0.9 after 0.9-rc1."""
    parts = [*re.split(r"[.+-]", release), "0"]
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
