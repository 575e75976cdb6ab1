"""What can go wrong with a tenant's data. Each error is one answer for the operator.

DataError
├── SnapshotCorrupt     a file is missing, was changed or does not open (the file is named)
├── SnapshotFailed      a store could not be read, or the snapshot not written
├── RestoreFailed       the data could not be brought in; what was there before is in place
├── DrillFailed         a snapshot was taken, but does not restore to what was there
└── DataCanceled        somebody asked for the end
"""

from typing import ClassVar

from stacks.errors import StacksError


class DataError(StacksError):
    code: ClassVar[str] = "data_failed"
    title: ClassVar[str] = "The work on the tenant's data failed"
    hint: ClassVar[str] = "Mend what is named, then retry."

    def answer(self) -> dict[str, object]:
        """{code, title, detail, hint, resource}, as operations carry it."""
        return {
            "code": self.code,
            "title": self.title,
            "detail": str(self)[:4000],
            "hint": self.hint,
            "resource": None,
        }


class SnapshotCorrupt(DataError):
    code = "snapshot_corrupt"
    title = "The snapshot is damaged"
    hint = "Nothing was changed. Restore another snapshot: `freehold tenants snapshots SLUG` lists them."


class SnapshotFailed(DataError):
    code = "snapshot_failed"
    title = "The snapshot could not be taken"
    hint = "The tenant was not touched. Mend what is named, then retry."


class FinalSnapshotFailed(SnapshotFailed):
    code = "final_snapshot_failed"
    title = "The final snapshot could not be taken, so nothing was destroyed"
    hint = (
        "Mend what is named, then retry. If the data is not wanted: delete the tenant again with "
        "skip_final_snapshot (CLI: --skip-final-snapshot)."
    )


class RestoreFailed(DataError):
    code = "restore_failed"
    title = "The snapshot could not be restored"
    hint = "The tenant has the data it had before. Mend what is named, then retry."


class DrillFailed(DataError):
    code = "restore_drill_failed"
    title = "The final snapshot did not pass its restore drill, so nothing was destroyed"
    hint = "Retry: a fresh snapshot is taken and tried. If it repeats, look at the tenant's databases."


class DataCanceled(DataError):
    code = "canceled"
    title = "The work on the tenant's data was canceled"
    hint = "Retry to begin it again."
