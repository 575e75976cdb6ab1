"""Kinds, states and moves of snapshots. Pure data.

creating ──► complete ──► deleted, expired
   │  ▲
   ▼  │ (retry)
  failed ──► deleted
"""

from typing import Final

MANUAL: Final = "manual"
FINAL: Final = "final"  # taken before its tenant was destroyed
KINDS: Final = (MANUAL, FINAL)

CREATING: Final = "creating"
COMPLETE: Final = "complete"
FAILED: Final = "failed"
DELETED: Final = "deleted"
EXPIRED: Final = "expired"
STATES: Final = (CREATING, COMPLETE, FAILED, DELETED, EXPIRED)
#: Nothing of it is on disk any more, nor can its key be had.
GONE: Final = frozenset({DELETED, EXPIRED})

ALLOWED_FROM: Final[dict[str, frozenset[str]]] = {
    CREATING: frozenset({FAILED, CREATING}),
    # Taken again by another attempt: the newer files stand.
    COMPLETE: frozenset({CREATING, COMPLETE}),
    FAILED: frozenset({CREATING}),
    DELETED: frozenset({COMPLETE, FAILED}),
    EXPIRED: frozenset({COMPLETE, FAILED}),
}
