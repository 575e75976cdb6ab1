"""A worker without a port: it executes runs that others accept, from the same stores, until SIGTERM."""

import asyncio
import signal
from pathlib import Path

from tenant_runtime.agents.loading import Agents
from tenant_runtime.logs import logs_configure
from tenant_runtime.opening import runtime_open
from tenant_runtime.service.draining import Drain, ready_mark
from tenant_runtime.service.garbage import garbage_settle
from tenant_runtime.service.server import agents_for
from tenant_runtime.settings import Settings


def worker_run(settings: Settings, manifest: Path) -> int:
    """Executes runs until SIGTERM or SIGINT, then drains as `serve` does. Raises StartRefused when it cannot begin."""
    logs_configure(settings.log_level, settings.tenant, settings.replica)
    asyncio.run(_work(settings, agents_for(settings, manifest)))
    return 0


async def _work(settings: Settings, agents: Agents) -> None:
    drain, stop = Drain(), asyncio.Event()

    def told() -> None:
        drain.hurried = stop.is_set()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told)
    async with runtime_open(settings, agents) as runtime:
        drain.runtime = runtime
        garbage_settle()
        ready_mark(settings.state_dir)
        await stop.wait()
        await drain.over(farewell_s=0)
