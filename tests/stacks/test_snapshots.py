"""Snapshots on real servers: a round trip, damage, strangers' keys, and kills in the middle."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.snapshot import SnapshotManifest
from embedded.processes import processes_marked
from stacks.providers.local.host import units_boot, units_halt
from stacks.providers.local.swap import JOURNAL, side_name, swap_commit
from stacks.snapshots.drill import snapshot_drill
from stacks.snapshots.errors import DataCanceled, DrillFailed, RestoreFailed, SnapshotCorrupt, SnapshotFailed
from stacks.snapshots.folder import MANIFEST
from stacks.snapshots.jobs import job_restore, job_snapshot
from stacks.snapshots.restore import snapshot_restore
from stacks.snapshots.sealing import SealedWriter, key_make, sealed_read
from stacks.snapshots.take import snapshot_check, snapshot_take
from tests.stacks.engine import REPOSITORY
from tests.stacks.site import EVENT, KEY_OF, Site, Steps


@pytest.fixture
def site(tmp_path: Path, standin_runtime: None) -> Iterator[Site]:
    """The tenant acme with data; nothing may run below its home at the end."""
    home = tmp_path / "home"
    made = Site.make(home)
    made.fill()
    yield made
    left = units_halt(home / "tenants")
    assert [report for report in left if report.error] == []
    assert processes_marked(str(home)) == []


def take(site: Site) -> tuple[Any, SnapshotManifest]:
    job = site.job("snapshot")
    told: list[dict[str, Any]] = []
    steps = Steps()
    job_snapshot(site.spec, job, steps.progress, told.append)
    assert [(name, state) for name, state, _ in steps.seen] == [
        ("capture", "started"), ("capture", "finished"), ("check", "started"), ("check", "finished"),
    ]  # fmt: skip
    assert told[0]["bytes"] == sum(f.stat().st_size for f in Path(job.folder).iterdir() if f.name != MANIFEST)
    return job, SnapshotManifest.model_validate(told[0]["manifest"])


def spoil(site: Site) -> None:
    """Life after the snapshot: other rows, vectors and keys."""
    site.sql("DELETE FROM threads WHERE metadata->>'n' < '3'")
    site.sql("CREATE TABLE newer (n int)")
    site.vector_sql("TRUNCATE memory")
    with site.redis() as client:
        client.delete("plain", "list")
        client.set("later", 1)


def restore(site: Site, job: Any, **changes: Any) -> list[tuple[str, str, str]]:
    steps = Steps()
    wanted = site.job("restore", snapshot=job, **changes)
    assert job_restore(site.spec, wanted, steps.progress, lambda manifest, plan: len(plan) == 3)
    return steps.seen


def test_a_snapshot_brings_back_rows_vectors_and_keys(site: Site) -> None:
    before = site.content()
    job, manifest = take(site)
    files = {file.component: file for file in manifest.files}
    assert files["vector_store"].tables["public.memory"].rows == 50
    assert files["cache"].items == 7
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in Path(job.folder).iterdir())
    assert stat.S_IMODE(Path(job.folder).stat().st_mode) == 0o700
    # Sealed: neither a row nor a key is readable in it.
    sealed = b"".join(path.read_bytes() for path in Path(job.folder).iterdir())
    assert b"threads_updated_at" not in sealed
    assert b"freehold:acme:notes" not in sealed
    spoil(site)
    assert site.content() != before
    seen = restore(site, job)
    assert seen[-1][0:2] == ("restore", "finished")
    assert "7 keys" in seen[-1][2]
    assert site.content() == before
    assert site.sql("SELECT to_regclass('newer')") == [(None,)]
    with site.redis() as client:
        assert 3500 < client.ttl("freehold:acme:notes:1") <= 3600
        assert client.dbsize() == 7
    assert site.stores.runtime is not None
    assert site.stores.runtime.running() is not None
    # Nothing is left beside: no second database, no folder of a run.
    assert site.sql("SELECT datname FROM pg_database WHERE datname LIKE 'agents%'") == [("agents",)]
    assert not list((site.home / "operations").iterdir())


def test_the_ledger_does_not_go_back_in_time(site: Site) -> None:
    site.sql(KEY_OF, ["00000000-0000-4000-8000-000000000001", "revoked since", b"1"])
    site.sql(EVENT, ["s", "pending-then", "pending"])
    site.sql(
        "INSERT INTO runs (run_id, thread_id, agent, assistant_id, principal, status, kwargs, multitask_strategy) "
        "SELECT gen_random_uuid(), thread_id, 'a', 'a', 'p', 'pending', '', 'reject' FROM threads LIMIT 1"
    )
    job, _ = take(site)
    site.sql("UPDATE api_keys SET revoked_at = now()")
    site.sql(KEY_OF, ["00000000-0000-4000-8000-000000000002", "made since", b"2"])
    site.sql("UPDATE usage_outbox SET state = 'delivered'")
    site.sql(EVENT, ["s", "reported-since", "pending"])
    site.sql("INSERT INTO audit_log (actor, action, object) VALUES ('a', 'since', 'o')")
    restore(site, job)
    assert site.sql("SELECT name, revoked_at IS NULL FROM api_keys ORDER BY name") == [
        ("made since", True), ("revoked since", False),
    ]  # fmt: skip
    assert site.sql("SELECT id, state FROM usage_outbox ORDER BY seq") == [
        ("pending-then", "delivered"), ("reported-since", "pending"),
    ]  # fmt: skip
    assert site.sql("SELECT action FROM audit_log") == [("since",)]
    # The next event's number is above the carried ones.
    site.sql(EVENT, ["s", "next", "pending"])
    assert site.sql("SELECT id FROM usage_outbox ORDER BY seq DESC LIMIT 1") == [("next",)]
    # What waited at that moment is not run a second time.
    assert site.sql("SELECT status, error_code FROM runs") == [("error", "restored")]


def test_another_tenant_gets_the_data_but_neither_keys_nor_usage(site: Site) -> None:
    site.sql(KEY_OF, ["00000000-0000-4000-8000-000000000001", "acme's", b"1"])
    site.sql(EVENT, ["/tenants/acme/runtime/r0", "acme's", "pending"])
    before = site.content()
    job, _ = take(site)
    other = Site.make(site.home, "globex")
    other.sql(KEY_OF, ["00000000-0000-4000-8000-000000000002", "globex's", b"2"])
    restore(other, job)
    after = other.content()
    assert (after["threads"], after["memory"]) == (before["threads"], before["memory"])
    assert b"freehold:globex:notes:1" in after["keys"]
    assert b"freehold:acme:notes:1" not in after["keys"]
    assert other.sql("SELECT name FROM api_keys") == [("globex's",)]
    assert other.sql("SELECT id FROM usage_outbox") == []


@pytest.mark.parametrize("name", ["postgres.dump", "vector_store.dump", "cache.records", MANIFEST])
def test_a_damaged_file_is_named_and_nothing_is_changed(site: Site, name: str) -> None:
    job, _ = take(site)
    path = Path(job.folder) / name
    original = path.read_bytes()
    sha256 = __import__("hashlib").sha256((Path(job.folder) / MANIFEST).read_bytes()).hexdigest()
    spoil(site)
    before = site.content()
    for damaged in (original[:-3], original[:20] + b"X" + original[21:], None):
        if damaged is None:
            path.unlink()
        else:
            path.write_bytes(damaged)
        wanted = site.job("restore", snapshot=job, manifest_sha256=sha256)
        with pytest.raises(SnapshotCorrupt, match=name):
            job_restore(site.spec, wanted, Steps().progress, lambda *_: pytest.fail("it was applied"))
    assert site.content() == before


def test_a_file_that_fits_its_checksum_but_not_its_seal_is_refused(tmp_path: Path) -> None:
    path, key = tmp_path / "f", key_make()
    with SealedWriter(path, key=key, name="f") as sealed:
        sealed.write(b"x" * 3_000_000)
    assert b"".join(sealed_read(path, key=key, name="f")) == b"x" * 3_000_000
    frames = path.read_bytes()
    path.write_bytes(frames[: 4 + 4 + (1 << 20) + 16])  # cut at a frame's end
    with pytest.raises(SnapshotCorrupt):
        list(sealed_read(path, key=key, name="f"))
    path.write_bytes(frames)
    for other in (key_make(), key):
        with pytest.raises(SnapshotCorrupt):
            list(sealed_read(path, key=other, name="g" if other == key else "f"))


def test_the_drill_finds_what_does_not_restore(site: Site) -> None:
    job = site.job("snapshot")
    manifest, _ = snapshot_take(site.spec, job, Steps().progress)
    assert "50 rows" not in snapshot_drill(site.spec, manifest, job, Steps().progress)
    postgres = next(file for file in manifest.files if file.component == "postgres")
    tables = dict(postgres.tables)
    tables["public.threads"] = tables["public.threads"].model_copy(update={"digest": "1:1"})
    files = [
        file if file != postgres else postgres.model_copy(update={"tables": tables})
        for file in manifest.files
    ]
    with pytest.raises(DrillFailed, match=r"public\.threads"):
        snapshot_drill(site.spec, manifest.model_copy(update={"files": files}), job, Steps().progress)
    assert not Path(job.scratch, "drill").exists()


def test_a_cancel_before_the_commit_leaves_the_old_data_and_a_running_runtime(site: Site) -> None:
    job, manifest = take(site)
    spoil(site)
    before = site.content()
    steps = Steps()
    calls = 0

    def canceled() -> bool:
        nonlocal calls
        calls += 1
        return calls > 6

    steps.progress.canceled = canceled
    with pytest.raises(DataCanceled):
        snapshot_restore(site.spec, manifest, site.job("restore", snapshot=job), steps.progress)
    assert site.content() == before
    assert site.stores.runtime is not None
    assert site.stores.runtime.running()
    assert site.sql("SELECT count(*) FROM pg_database WHERE datname = %s", [side_name("agents")]) == [(0,)]


def test_a_store_that_is_down_is_started_and_one_that_is_gone_is_named(site: Site) -> None:
    site.stores.postgres.stop()
    _, manifest = take(site)
    assert len(manifest.files) == 3
    shutil.move(site.stores.cache.folder / "unit.json", site.home / "aside")
    with pytest.raises(SnapshotFailed, match="no cache"):
        snapshot_take(site.spec, site.job("snapshot"), Steps().progress)
    shutil.move(site.home / "aside", site.home / "tenants" / "acme" / "cache" / "unit.json")


def test_snapshots_and_rotations_do_not_stand_in_each_others_way(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.rotate(2)
    before = site.content()
    job, _ = take(site)
    spoil(site)
    restore(site, job)
    assert site.content() == before
    # The restored database names the login of that generation: it can be ended nevertheless.
    site.rotate(3)
    assert site.content() == before

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    # A rotation that was killed between the units' files and their servers: what is on disk is ahead.
    with monkeypatch.context() as patch:
        patch.setattr("stacks.providers.local.units.login_ensure", die)
        with pytest.raises(KeyboardInterrupt):
            site.rotate(4)
    take(site)


def test_a_failure_after_the_commit_says_that_the_new_data_counts(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = site.content()
    job, _ = take(site)
    spoil(site)
    restoring = site.job("restore", snapshot=job)

    def fail(_: object) -> None:
        raise OSError("no memory for the runtime")

    with monkeypatch.context() as patch:
        patch.setattr("stacks.providers.local.runtime_unit.RuntimeUnit.start", fail)
        with pytest.raises(RestoreFailed, match="The snapshot's data counts already"):
            job_restore(site.spec, restoring, Steps().progress, lambda *_: True)
    job_restore(site.spec, restoring, Steps().progress, lambda *_: True)
    assert site.content() == wanted
    assert site.stores.runtime is not None
    assert site.stores.runtime.running() is not None


CHILD = """
import json, os, signal, sys, threading
from contracts.snapshot import DataJob
from contracts.stack import StackSpec
from stacks.snapshots import jobs
from stacks.snapshots.progress import Progress
import stacks.snapshots.restore as restore, stacks.snapshots.take as take
import stacks.providers.local.swap as swap
asked = json.load(sys.stdin)
spec, job = StackSpec.model_validate(asked["spec"]), DataJob.model_validate(asked["job"])
module, name, nth = asked["at"]
module = {"restore": restore, "take": take, "swap": swap}[module]
original, calls = getattr(module, name), 0
def killed(*args, **kwargs):
    global calls
    calls += 1
    result = original(*args, **kwargs) if asked["after"] else None
    if calls == nth:
        os.kill(os.getpid(), signal.SIGKILL)
    return result if asked["after"] else original(*args, **kwargs)
setattr(module, name, killed)
progress = Progress(phase=lambda *_: None, canceled=lambda: False)
if job.verb == "snapshot":
    jobs.job_snapshot(spec, job, progress, lambda _: None)
else:
    jobs.job_restore(spec, job, progress, lambda *_: True)
sys.exit("it was not killed")
"""


def killed_at(site: Site, job: Any, module: str, name: str, *, nth: int = 1, after: bool) -> None:
    """Carries the job out in a process of its own that is killed right before or after a call."""
    asked = {
        "spec": site.spec.model_dump(mode="json"), "job": job.model_dump(mode="json"),
        "at": [module, name, nth], "after": after,
    }  # fmt: skip
    environment = {**os.environ, "FREEHOLD_UNIT": str(Path(job.scratch))}
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=json.dumps(asked), text=True, capture_output=True,
        cwd=REPOSITORY, timeout=120, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    for identity in processes_marked(str(Path(job.scratch))):  # as a takeover does
        os.kill(identity.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("name", "nth", "after"),
    [
        ("cache_dump", 1, True),
        ("database_dump", 1, False),
        ("database_dump", 2, True),
        ("partial_finish", 1, False),
    ],
)
def test_a_snapshot_killed_anywhere_is_none_until_it_is_whole(
    site: Site, name: str, nth: int, after: bool
) -> None:
    job = site.job("snapshot")
    killed_at(site, job, "take", name, nth=nth, after=after)
    assert not Path(job.folder).exists()
    job_snapshot(site.spec, job, Steps().progress, lambda _: None)
    snapshot_check(job)
    assert [path.name for path in Path(job.folder).parent.iterdir()] == [Path(job.folder).name]


@pytest.mark.parametrize(
    ("module", "name", "nth", "after", "committed"),
    [
        ("restore", "database_load", 1, True, False),
        ("restore", "cache_load", 1, True, False),
        ("restore", "ledger_carry", 1, True, False),
        ("restore", "swap_commit", 1, True, True),
        ("swap", "_rename", 1, True, True),
        ("swap", "_database_swap", 2, False, True),
        ("swap", "_cache_swap", 1, False, True),
        ("swap", "_cache_swap", 1, True, True),
    ],
)
def test_a_restore_killed_anywhere_leaves_the_old_data_or_the_new_and_its_retry_ends_it(
    site: Site, module: str, name: str, nth: int, after: bool, committed: bool
) -> None:
    wanted = site.content()
    job, _ = take(site)
    spoil(site)
    spoiled = site.content()
    restoring = site.job("restore", snapshot=job)
    killed_at(site, restoring, module, name, nth=nth, after=after)
    assert (site.home / "tenants" / "acme" / JOURNAL).exists() == committed
    # The machine starts: whoever comes first puts the committed data in place before the runtime runs.
    units_halt(site.home / "tenants")
    assert [report.error for report in units_boot(site.home / "tenants")] == [None] * 4
    assert site.content() == (wanted if committed else spoiled)
    if committed:
        # What happens between the commit and the retry stays: the retry does not restore twice.
        site.sql("INSERT INTO threads (thread_id, owner) VALUES (gen_random_uuid(), 'since')")
    job_restore(site.spec, restoring, Steps().progress, lambda *_: True)
    left = site.sql("DELETE FROM threads WHERE owner = 'since' RETURNING 1")
    assert len(left) == (1 if committed else 0)
    assert site.content() == wanted


def test_a_runtime_does_not_start_on_data_that_could_not_be_put_in_place(site: Site) -> None:
    swap_commit(site.home / "tenants" / "acme", restore_id="r")
    runtime = site.stores.runtime
    assert runtime is not None
    runtime.stop()
    shutil.move(site.stores.cache.folder / "unit.json", site.home / "aside")
    reports = {report.name: report for report in units_boot(site.home / "tenants")}
    assert reports["runtime"].pid is None
    assert "no cache" in str(reports["runtime"].error)
    shutil.move(site.home / "aside", site.home / "tenants" / "acme" / "cache" / "unit.json")
    units_boot(site.home / "tenants")
    assert runtime.running() is not None


def test_a_snapshot_of_a_newer_runtime_is_refused_before_anything_changes(site: Site) -> None:
    job, manifest = take(site)
    site.sql("DELETE FROM runtime_migrations")
    before = site.content()
    with pytest.raises(RestoreFailed, match="newer runtime"):
        snapshot_restore(site.spec, manifest, site.job("restore", snapshot=job), Steps().progress)
    assert site.content() == before


def test_writers_go_on_while_a_snapshot_is_taken(site: Site) -> None:
    """Each table is counted at the moment it is dumped, however busy it is."""
    writer = subprocess.Popen(
        [sys.executable, "-c",
         "import psycopg, sys\nc = psycopg.connect(sys.stdin.readline().strip(), autocommit=True)\n"
         "print('on', flush=True)\n"
         "while True: c.execute(\"INSERT INTO threads (thread_id, owner) VALUES (gen_random_uuid(), 'w')\")"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write(site.urls["postgres"] + "\n")
        writer.stdin.flush()
        writer.stdout.readline()
        job = site.job("snapshot")
        manifest, _ = snapshot_take(site.spec, job, Steps().progress)
        rows = site.sql("SELECT count(*) FROM threads")[0][0]
        time.sleep(0.2)
        assert site.sql("SELECT count(*) FROM threads")[0][0] > rows
    finally:
        writer.kill()
        writer.wait()
    assert manifest.files[2].tables["public.threads"].rows > 50
    assert "Drill passed" in snapshot_drill(site.spec, manifest, job, Steps().progress)
