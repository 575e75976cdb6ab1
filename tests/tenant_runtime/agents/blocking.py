"""An agent as people write them by mistake: an async function that gives the event loop no turn."""

import time
from typing import Any


async def blocking(payload: dict[str, Any]) -> dict[str, Any]:
    time.sleep(payload["seconds"])  # noqa: ASYNC251 - the point of it
    return {"slept": payload["seconds"]}
