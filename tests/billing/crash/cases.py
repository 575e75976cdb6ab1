"""Where ingest is cut: every named moment of it, and as many moments of chance as there is time for."""

import os

#: In the order a batch with new events passes them.
INGEST_POINTS = (
    "billing.ingest.begun",
    "billing.ingest.claimed",
    "billing.ingest.stored",
    "billing.ingest.sampled",
    "billing.rollup.members",
    "billing.rollup.added",
    "billing.ingest.committed",
)
#: The server of the tests has sent the answer.
ANSWERED = "server.answered"
#: In the order a tenant's turn in the close of a month passes them.
CLOSE_POINTS = (
    "billing.close.begun",
    "billing.close.started",
    "billing.close.drafted",
    "billing.close.credited",
    "billing.close.numbered",
    "billing.close.posted",
    "billing.close.committed",
)
#: Moments of the runtime's pusher (pushing.py).
PUSHER_POINTS = (
    "pusher.locked",
    "pusher.read",
    "pusher.posting",
    "pusher.answered",
    "pusher.settling",
    "pusher.settled",
)


def kills(least: int, share: float = 1.0) -> int:
    """How many kills a case makes: `share` of FREEHOLD_BILLING_KILLS (24, where it is not set), `least` at least."""
    return max(least, round(int(os.environ.get("FREEHOLD_BILLING_KILLS", "24")) * share))
