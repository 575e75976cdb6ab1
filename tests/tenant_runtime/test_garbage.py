"""What is loaded at the start is not looked through again for garbage."""

import subprocess
import sys

_PROGRAM = """
import gc
from tenant_runtime.service.garbage import garbage_settle
kept = [[] for _ in range(10_000)]
garbage_settle()
assert gc.get_freeze_count() > 10_000, gc.get_freeze_count()
assert not any(item is kept for item in gc.get_objects())
cycle = []
cycle.append(cycle)
del cycle
assert gc.collect() >= 1, "new garbage is still found"
"""


def test_what_is_loaded_is_frozen_and_new_garbage_is_found() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
