"""Before a tenant is destroyed: its runtime ends, and the usage it still holds is delivered."""

import time
from typing import Any, Final

import httpx
import psycopg

from contracts.runtime import OUTBOX_TABLE
from contracts.stack import StackSecrets, StackSpec
from contracts.usage import IngestAnswer
from embedded.errors import EmbeddedError
from stacks.errors import StacksError
from stacks.snapshots.postgres import connection_to, owner_url
from stacks.snapshots.progress import Progress
from stacks.snapshots.stores import Stores, runtime_retire, stores_of, stores_start

#: How long delivery may take; what is left then is told.
DELIVER_S: Final = 60.0
#: How long nothing may get through before it is given up: nobody waits for a control plane that is away.
SILENCE_S: Final = 5.0
_BATCH: Final = 200
_PAUSE_S: Final = 1.0


def tenant_settle(spec: StackSpec, secrets: StackSecrets, progress: Progress) -> str:
    """Ends the runtime for good and delivers its outbox; a sentence on what was delivered and what could not be.

    Never fails for usage: a control plane that cannot be reached must not keep a tenant from being deleted.
    """
    try:
        stores = stores_of(spec)
        if stores.runtime is not None:
            runtime_retire(stores.runtime)
        stores_start(stores)
        return _deliver(stores, spec, secrets, progress)
    except (StacksError, EmbeddedError, psycopg.Error, OSError) as error:
        progress.alive()
        return f"The runtime's usage could not be looked at: {error}"[:400]


def _deliver(stores: Stores, spec: StackSpec, secrets: StackSecrets, progress: Progress) -> str:
    deadline = time.monotonic() + DELIVER_S
    heard = time.monotonic()
    sent, why = 0, ""
    with connection_to(owner_url(stores.postgres), autocommit=True) as connection:
        row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [f"public.{OUTBOX_TABLE}"]).fetchone()
        if row is None or not row[0]:
            return "The runtime has ended; it never reported usage."
        headers = {
            "Authorization": f"Bearer {secrets.usage_token}",
            "Content-Type": "application/cloudevents-batch+json",
        }
        with httpx.Client(timeout=10, follow_redirects=False, headers=headers) as http:
            while (rows := _pending(connection)) and time.monotonic() < deadline:
                progress.alive()
                if spec.runtime.usage_url is None:
                    why = "no ingest is configured"
                    break
                try:
                    settled = _push(connection, http, spec.runtime.usage_url, rows)
                except (httpx.HTTPError, ValueError) as error:
                    settled, why = 0, type(error).__name__
                sent += settled
                if settled:
                    heard = time.monotonic()
                elif time.monotonic() - heard >= SILENCE_S:
                    break
                else:
                    time.sleep(_PAUSE_S)
        left = connection.execute(
            f"SELECT count(*) FROM {OUTBOX_TABLE} WHERE state = 'pending'"  # noqa: S608 - our own constant
        ).fetchone()
    kept = int(left[0]) if left else 0
    if kept:
        return f"The runtime has ended. {sent} usage events delivered; {kept} could not be ({why or 'time was up'})."
    return f"The runtime has ended, and all its usage is delivered ({sent} events just now)."


def _pending(connection: "psycopg.Connection[Any]") -> list[tuple[Any, ...]]:
    return connection.execute(
        f"SELECT seq, id, body FROM {OUTBOX_TABLE} WHERE state = 'pending' ORDER BY seq LIMIT {_BATCH}"  # noqa: S608
    ).fetchall()


def _push(
    connection: "psycopg.Connection[Any]", http: httpx.Client, url: str, rows: list[tuple[Any, ...]]
) -> int:
    """One batch, in order; how many of it are settled. httpx.HTTPError or ValueError when it was not answered."""
    response = http.post(url, content="[" + ",".join(str(row[2]) for row in rows) + "]")
    response.raise_for_status()
    answer = IngestAnswer.model_validate_json(response.content)
    outcomes = {result.id: result for result in answer.results}
    settled = 0
    for seq, id_, _ in rows:
        result = outcomes.get(id_)
        if result is None:
            continue
        taken = result.outcome in ("accepted", "duplicate")
        connection.execute(
            f"UPDATE {OUTBOX_TABLE} SET state = %s, reason = %s, settled_at = now() WHERE seq = %s",  # noqa: S608
            [
                "delivered" if taken else "parked",
                None if taken else f"{result.outcome}: {result.reason or ''}",
                seq,
            ],
        )
        settled += 1
    return settled
