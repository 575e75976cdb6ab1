"""Hot reload for development: a changed file is loaded beside what is served, and takes its place only if it is good.

Runs that go on keep the agent they began with. A broken edit changes nothing but the report.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from tenant_runtime.agents.loading import Agents, manifest_examine
from tenant_runtime.agents.report import Problem, Report
from tenant_runtime.agents.targets import foreign, imported_anew
from tenant_runtime.errors import ManifestInvalid

log = logging.getLogger(__name__)

LOOK_S: Final = 0.4
#: A folder with more sources than this is no folder of agents; what lies beyond is not watched.
MOST_FILES: Final = 5000
#: Says whether agents may be served as they are; the database's word on their state schemas.
Accept = Callable[[Agents], Awaitable[list[Problem]]]
Stamp = dict[str, tuple[int, int]]


def sources_scan(folder: Path) -> Stamp:
    """Time and size of every Python and TOML file below the folder, but for hidden and installed ones."""
    found: Stamp = {}
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not foreign(name))
        for name in files:
            if not name.endswith((".py", ".toml")) or len(found) >= MOST_FILES:
                continue
            path = os.path.join(place, name)
            try:
                status = os.stat(path)
            except OSError:
                continue
            found[path] = (status.st_mtime_ns, status.st_size)
    return found


class Reloader:
    """Watches the manifest's folder. `last` is the report of the last edit, good or bad; None before the first."""

    def __init__(self, manifest: Path, agents: Agents, accept: Accept) -> None:
        self._manifest, self._agents, self._accept = manifest, agents, accept
        self.last: Report | None = None

    async def run(self) -> None:
        """Until cancelled."""
        folder = self._manifest.resolve().parent
        served = await asyncio.to_thread(sources_scan, folder)
        while True:
            await asyncio.sleep(LOOK_S)
            seen = await asyncio.to_thread(sources_scan, folder)
            if seen == served:
                continue
            # An editor writes several files, or one in several steps: once it is quiet.
            await asyncio.sleep(LOOK_S / 2)
            if await asyncio.to_thread(sources_scan, folder) != seen:
                continue
            served = seen
            await self.reload()

    async def reload(self) -> Report:
        """Loads everything anew and serves it if it is good. Never raises for what an edit did."""
        try:
            with imported_anew(self._manifest.resolve().parent):
                report, agents = await asyncio.to_thread(manifest_examine, self._manifest)
                if report.good:
                    report = report.with_problems(await self._accept(agents))
                if not report.good:
                    raise ManifestInvalid(report)
        except ManifestInvalid as invalid:
            self.last = invalid.report
            log.warning(
                "reload refused, the last good version is served", extra={"problems": len(invalid.problems)}
            )
            print(invalid.report.text(), file=sys.stderr, flush=True)
            return invalid.report
        self._agents.replace(agents)
        self.last = report
        log.info("agents reloaded", extra={"agents": list(report.agents)})
        return report
