"""The end of a thread: everything of it, wherever it is."""

import uuid

from tenant_runtime.runtime import Runtime


async def thread_remove(runtime: Runtime, thread_id: uuid.UUID, *, owner: str | None) -> None:
    """Rows first: they refuse while a run is active, and a thread without rows is gone for every reader."""
    await runtime.threads.delete(thread_id, owner=owner)
    await runtime.checkpoints.delete_thread(thread_id)
    await runtime.short_term.forget(str(thread_id))
