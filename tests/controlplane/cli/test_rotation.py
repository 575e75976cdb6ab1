"""Logs bounded in size, under the pen of those who write them."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from controlplane.cli.home import Home, home_prepare
from controlplane.cli.rotation import KEPT, logs_rotate

WRITER = """
import os, sys, time
descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
for number in range(4000):
    os.write(descriptor, b"%06d %s\\n" % (number, b"x" * 90))
    time.sleep(0.0002)
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home_prepare(home)
    return home


def test_a_writer_goes_on_and_the_size_is_bounded(home: Home) -> None:
    path = home.logs / "worker.log"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
    rotated = 0
    while writer.poll() is None:
        rotated += len(logs_rotate(home, max_bytes=40_000))
        time.sleep(0.02)
    assert rotated > KEPT
    logs_rotate(home, max_bytes=40_000)
    files = sorted(home.logs.glob("worker.log*"))
    assert [file.name for file in files] == ["worker.log", *(f"worker.log.{n}" for n in range(1, KEPT + 1))]
    # A hole at the beginning would mean that the writer did not append.
    assert not any(b"\0" in file.read_bytes() for file in files)
    lines = [line for file in files for line in file.read_text().splitlines()]
    assert all(len(line) == 97 for line in lines), "a line was torn"
    assert lines[-1] != ""
    newest = max(int(line[:6]) for line in lines)
    assert newest == 3999
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert not list(home.logs.glob(".*"))


def test_tenants_logs_are_bounded_too_and_small_ones_are_left(home: Home) -> None:
    big = home.tenants / "acme" / "cache" / "server.log"
    small = home.tenants / "acme" / "runtime" / "server.log"
    for path, size in ((big, 2000), (small, 10)):
        path.parent.mkdir(parents=True)
        path.write_text("x" * size)
    assert logs_rotate(home, max_bytes=1000) == [big]
    assert (big.stat().st_size, big.with_name("server.log.1").stat().st_size) == (0, 2000)
    assert small.stat().st_size == 10


def test_a_folder_that_goes_away_ends_nothing(home: Home) -> None:
    gone = home.tenants / "acme" / "cache" / "server.log"
    gone.parent.mkdir(parents=True)
    gone.write_text("x" * 2000)
    gone.parent.chmod(0o500)
    if os.access(gone.parent, os.W_OK):
        # Root may write everywhere: a folder in the copy's place stands in for what cannot be written.
        (gone.parent / ".server.log.copy").mkdir()
    assert logs_rotate(home, max_bytes=1000) == []
    gone.parent.chmod(0o700)
