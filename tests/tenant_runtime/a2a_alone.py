"""Loads the A2A SDK without its gRPC half, which nothing here uses.

That half and Pulumi's SDK each bring a protobuf file with `google.rpc.Status`, and one process can hold only one of
them. The runtime and Pulumi never meet in one; the tests of both do.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def _absent(name: str) -> Iterator[None]:
    missing = object()
    before: Any = sys.modules.get(name, missing)
    sys.modules[name] = None  # type: ignore[assignment] # Python's own way to say that there is no such module
    try:
        yield
    finally:
        if before is missing:
            del sys.modules[name]
        else:
            sys.modules[name] = before


with _absent("grpc"):
    import a2a.client
    import a2a.server.routes  # noqa: F401
