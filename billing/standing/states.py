"""Words of the standing. Pure data.

The standing is the worst of its causes: capped before past_due before current. Each cause has a source (such as one
budget) that takes it back itself, so that raising one budget never lifts what another one holds.
"""

from typing import Final

CURRENT: Final = "current"
PAST_DUE: Final = "past_due"
CAPPED: Final = "capped"
#: From the mildest to the worst.
STANDINGS: Final = (CURRENT, PAST_DUE, CAPPED)

#: New runs are refused by the tenant's runtime.
BLOCK_RUNS: Final = "block_runs"
#: The tenant is suspended: its GPUs and its runtime go, its data stays.
SCALE_GPU_TO_ZERO: Final = "scale_gpu_to_zero"
#: Of a suspension by the standing: it ends by itself when the standing no longer asks for it.
RESUME_AFTERWARDS: Final = "resume_afterwards"
ACTIONS: Final = (BLOCK_RUNS, SCALE_GPU_TO_ZERO, RESUME_AFTERWARDS)
