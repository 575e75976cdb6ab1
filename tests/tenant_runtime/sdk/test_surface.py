"""The SDK's whole surface, by its async and its sync client, against a live runtime."""

import pytest

from tests.tenant_runtime.sdk.tour import STEPS, tour
from tests.tenant_runtime.sdk.uniform import Uniform, public_methods
from tests.tenant_runtime.support import API_KEY, RuntimeProcess


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_every_public_method(runtime: RuntimeProcess, kind: str) -> None:
    await tour(kind, runtime.url, API_KEY)


def test_the_walk_finds_the_methods() -> None:
    """The judge of the test above: were it to find nothing, everything would pass."""
    for kind in ("async", "sync"):
        found = public_methods(Uniform(kind, "http://127.0.0.1:1", API_KEY).real)
        assert {
            "assistants.set_latest",
            "threads.prune",
            "runs.cancel_many",
            "crons.count",
            "store.put_item",
        } <= found
        assert len(found) >= 46
    assert len(STEPS) == 5
