"""Posts what an outbox holds, to public addresses only; webhooks signed as Standard Webhooks has it."""

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import httpx
from psycopg import Error
from psycopg_pool import PoolTimeout
from standardwebhooks.webhooks import Webhook

from contracts.destinations import (
    AddressRefused,
    Destination,
    Policy,
    Resolve,
    destination_of,
    system_resolve,
    text_check,
)
from tenant_runtime.database import Pool
from tenant_runtime.errors import Invalid
from tenant_runtime.webhooks.outbox import OutboxRows

log = logging.getLogger(__name__)

Row = dict[str, Any]
#: Seconds for one POST, from resolving the name to the last header of the answer.
POST_S: Final = 15.0
LOOK_S: Final = 2.0


class DeliveryFailed(Exception):
    """`final`: repeating it cannot help. Its text names no part of the URL but the host."""

    def __init__(self, detail: str, *, final: bool = False) -> None:
        super().__init__(detail)
        self.final = final


@dataclass(frozen=True)
class Message:
    """What one row of an outbox carries. `headers` are those beside the usual ones."""

    body: str
    headers: Mapping[str, str]


def address_check(name: str, url: str, *, policy: Policy) -> None:
    """Invalid when nothing would be sent to that URL; `name` is what the request calls it."""
    try:
        text_check(url, policy=policy)
    except AddressRefused as error:
        raise Invalid(f"`{name}` {error}", code=f"{name}_refused") from error


class Sender(ABC):
    """One a process for each outbox; a row is claimed in the database, so that one of them sends it."""

    def __init__(self, rows: OutboxRows, *, policy: Policy, resolve: Resolve) -> None:
        self._rows, self._policy, self._resolve = rows, policy, resolve

    @abstractmethod
    async def message(self, row: Row) -> Message:
        """Raises DeliveryFailed where there is nothing to send."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                while await self.send_next():
                    pass
                await self._rows.forget_old()
            except (Error, PoolTimeout, OSError):
                log.warning("nothing was sent, the database does not answer")
            except Exception:
                log.exception("sender surprised")
            await asyncio.sleep(LOOK_S)

    async def send_next(self) -> bool:
        """Sends what is due the longest; False when nothing is. A message that fails holds up no other."""
        row = await self._rows.claim()
        if row is None:
            return False
        try:
            await self._post(row)
        except DeliveryFailed as error:
            luck = random.random()  # noqa: S311 - jitter, not a secret
            await self._rows.failed(row, error=str(error), final=error.final, luck=luck)
            log.warning(
                "delivery failed",
                extra={"run_id": str(row["run_id"]), "attempt": row["attempts"], "reason": str(error)},
            )
        else:
            await self._rows.delivered(row)
        return True

    async def _post(self, row: Row) -> None:
        """DeliveryFailed for anything but an answer of 2xx. Redirects are not followed: they would lead past the
        check of the address."""
        message = await self.message(row)
        try:
            async with asyncio.timeout(POST_S):
                there = await asyncio.to_thread(
                    destination_of, row["url"], policy=self._policy, resolve=self._resolve
                )
                headers = {
                    "Host": there.host_header,
                    "Content-Type": "application/json",
                    "User-Agent": "Freehold-Runtime/1",
                    **message.headers,
                }
                status = await self._send(there, headers, message.body.encode())
        except AddressRefused as error:
            raise DeliveryFailed(f"The URL {error}.") from error
        except TimeoutError as error:
            raise DeliveryFailed(f"No answer within {POST_S:g} s.") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise DeliveryFailed(f"It could not be posted: {type(error).__name__}.") from error
        if not 200 <= status < 300:
            # 410 Gone is how a receiver says that it wants no more (Standard Webhooks).
            raise DeliveryFailed(f"{there.host} answered {status}.", final=status == 410)

    @staticmethod
    async def _send(there: Destination, headers: dict[str, str], content: bytes) -> int:
        """The answer's status; its body is not read. The certificate must be for the host that was named."""
        async with httpx.AsyncClient(trust_env=False, timeout=POST_S) as client:
            request = client.build_request(
                "POST", there.url, headers=headers, content=content, extensions={"sni_hostname": there.host}
            )
            response = await client.send(request, stream=True, follow_redirects=False)
            await response.aclose()
            return response.status_code


class Webhooks(Sender):
    """The ends of runs, signed as Standard Webhooks has it."""

    def __init__(
        self, pool: Pool, *, secrets: Sequence[str], policy: Policy, resolve: Resolve = system_resolve
    ) -> None:
        super().__init__(OutboxRows(pool, "webhook_outbox"), policy=policy, resolve=resolve)
        self._signers = [Webhook(secret) for secret in secrets]

    def check(self, url: str) -> None:
        """Invalid when nothing would be sent to that URL."""
        if not self._signers:
            raise Invalid(
                "webhooks are off: set RUNTIME_WEBHOOK_SECRET, which signs them", code="webhooks_disabled"
            )
        address_check("webhook", url, policy=self._policy)

    async def run(self) -> None:
        if self._signers:
            await super().run()

    async def message(self, row: Row) -> Message:
        # The same id at every try: a receiver tells a repetition by it.
        identity, at = f"msg_{row['id'].hex}", row["at"]
        assert isinstance(at, datetime)
        return Message(
            row["body"],
            {
                "webhook-id": identity,
                "webhook-timestamp": str(int(at.timestamp())),
                # One of each secret: a receiver that still has the earlier one finds its own.
                "webhook-signature": " ".join(each.sign(identity, at, row["body"]) for each in self._signers),
            },
        )
