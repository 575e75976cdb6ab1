"""What can go wrong with a tenant's data. The codes are rows of the control plane's catalogue of failures.

DataError
├── SnapshotCorrupt     a file is missing, was changed or does not open (the file is named)
├── SnapshotFailed      a store could not be read, or the snapshot not written
│   └── FinalSnapshotFailed     so nothing was destroyed
├── RestoreFailed       the data could not be brought in; what was there before is in place
├── DrillFailed         a snapshot was taken, but does not restore to what was there
└── DataCanceled        somebody asked for the end
"""

from typing import ClassVar

from stacks.errors import StacksError


class DataError(StacksError):
    code: ClassVar[str]


class SnapshotCorrupt(DataError):
    code = "snapshot_corrupt"


class SnapshotFailed(DataError):
    code = "snapshot_failed"


class FinalSnapshotFailed(SnapshotFailed):
    code = "final_snapshot_failed"


class RestoreFailed(DataError):
    code = "restore_failed"


class DrillFailed(DataError):
    code = "restore_drill_failed"


class DataCanceled(DataError):
    code = "engine_canceled"
