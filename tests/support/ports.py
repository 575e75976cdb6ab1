"""Ports of tests' tenants: runs side by side on one machine must not choose the same."""

import os
import random

from embedded.ports import free_block

_FIRST, _LAST, _SIZE = 22_000, 31_000, 40


def tenant_port_base() -> int:
    """The first of a block of ports for one test's tenants. Workers of one run (pytest-xdist) have halves of their
    own; another run is avoided by chance and by looking."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 2
    share = (_LAST - _FIRST) // 2
    first = _FIRST + worker * share
    return free_block(random.randrange(first, first + share - _SIZE, _SIZE), _LAST + 1_000, _SIZE)  # noqa: S311
