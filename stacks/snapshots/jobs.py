"""The one door: carries a DataJob out, step by step. The names of the steps are the operation's."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contracts.snapshot import DataJob, SnapshotManifest
from contracts.stack import StackSecrets, StackSpec
from embedded.crashpoints import crash_point
from embedded.errors import EmbeddedError
from stacks.errors import StacksError
from stacks.snapshots.drill import snapshot_drill
from stacks.snapshots.errors import DataCanceled, DrillFailed, FinalSnapshotFailed
from stacks.snapshots.progress import Progress
from stacks.snapshots.restore import restore_plan, snapshot_restore
from stacks.snapshots.settle import tenant_settle
from stacks.snapshots.take import sentence, snapshot_check, snapshot_take

#: Tells the parent what was taken: {snapshot, manifest, manifest_sha256, bytes}.
Taken = Callable[[dict[str, Any]], None]


def taken_data(manifest: SnapshotManifest, sha256: str) -> dict[str, Any]:
    return {
        "snapshot": str(manifest.snapshot_id),
        "manifest": manifest.model_dump(mode="json"),
        "manifest_sha256": sha256,
        "bytes": manifest.bytes,
    }


def job_snapshot(spec: StackSpec, job: DataJob, progress: Progress, taken: Taken) -> None:
    """Steps `capture` and `check`."""
    with _Scratch(job):
        with progress.step("capture") as said:
            manifest, sha256 = snapshot_take(spec, job, progress)
            said.append(sentence(manifest))
        with progress.step("check") as said:
            snapshot_check(job.model_copy(update={"manifest_sha256": sha256}))
            said.append("Read back: every file has its checksum and opens with its key.")
        taken(taken_data(manifest, sha256))


def job_restore(
    spec: StackSpec,
    job: DataJob,
    progress: Progress,
    decide: Callable[[SnapshotManifest, list[dict[str, object]]], bool],
) -> bool:
    """Steps `check` and `restore`, with the decision between them; False when it was not to be applied."""
    with _Scratch(job):
        progress.phase("check", "started", "")
        manifest = snapshot_check(job)
        if not decide(manifest, restore_plan(spec, manifest)):
            return False
        with progress.step("restore") as said:
            said.append(snapshot_restore(spec, manifest, job, progress))
        return True


def job_final(spec: StackSpec, secrets: StackSecrets, job: DataJob, progress: Progress, taken: Taken) -> None:
    """Steps `settle` and `snapshot` of a deprovision, the second with its restore drill."""
    with _Scratch(job):
        with progress.step("settle") as said:
            # Of a stack that is half destroyed nothing may be started again.
            said.append(tenant_settle(spec, secrets, progress) if job.settle else job.unsettled_reason)
        crash_point("final.settled")
        progress.phase("snapshot", "started", "")
        detail = job.skip_reason
        if not job.skip_reason:
            try:
                manifest, sha256 = snapshot_take(spec, job, progress)
                drilled = snapshot_drill(spec, manifest, job, progress)
            except (DataCanceled, DrillFailed):
                raise
            except (StacksError, EmbeddedError, OSError) as error:
                raise FinalSnapshotFailed(str(error)) from error
            detail = f"{sentence(manifest)} {drilled}"
            crash_point("final.drilled")
            taken(taken_data(manifest, sha256))
        progress.phase("snapshot", "finished", detail)


class _Scratch:
    """The run's own folder, gone at its end; what killed runs of the same operation left goes with it."""

    def __init__(self, job: DataJob) -> None:
        self._folder = Path(job.scratch)

    def __enter__(self) -> None:
        shutil.rmtree(self._folder.parent, ignore_errors=True)
        self._folder.mkdir(mode=0o700, parents=True)

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder.parent, ignore_errors=True)
