"""What can be done with the store, for every door: rows in Postgres, meaning beside them."""

import asyncio
import logging
import uuid
from typing import Any, Final

from psycopg import Error
from psycopg_pool import PoolTimeout

from tenant_runtime.access.principals import Principal
from tenant_runtime.access.visibility import owner_filter
from tenant_runtime.errors import Unavailable
from tenant_runtime.memory.long_term import Embed
from tenant_runtime.store.meaning import StoreMeaning
from tenant_runtime.store.rows import StoreRows

log = logging.getLogger(__name__)

Row = dict[str, Any]
SWEEP_S: Final = 10.0
#: Vectors looked at for each item wanted: an item may have several, and some fall to the filter.
_SPARE: Final = 4
_MOST: Final = 1000


class Store:
    def __init__(self, rows: StoreRows, meaning: StoreMeaning) -> None:
        self._rows, self._meaning = rows, meaning

    async def put(
        self,
        *,
        caller: Principal,
        namespace: list[str],
        key: str,
        value: Row,
        index: list[str] | None,
        ttl_minutes: float | None,
        embed: Embed,
    ) -> None:
        owner = await self._rows.owner_at(
            owner=owner_filter(caller), me=caller.id, namespace=namespace, key=key
        )
        row = await self._rows.put(
            owner=owner, namespace=namespace, key=key, value=value, indexed=index, ttl_minutes=ttl_minutes
        )
        if index:
            await self._meaning.put(row, embed)
        elif row["created_at"] != row["updated_at"]:
            # It may have been indexed before.
            await self._meaning.forget(row["item_id"])

    async def get(self, *, caller: Principal, namespace: list[str], key: str, refresh_ttl: bool) -> Row:
        return await self._rows.get(
            owner=owner_filter(caller), me=caller.id, namespace=namespace, key=key, refresh_ttl=refresh_ttl
        )

    async def delete(self, *, caller: Principal, namespace: list[str], key: str) -> None:
        """NotFound when there is none. Vectors go after the row: a row alone is found by nobody's meaning."""
        row = await self.get(caller=caller, namespace=namespace, key=key, refresh_ttl=False)
        await self._rows.delete(row["item_id"])
        if row["indexed"]:
            await self._meaning.forget(row["item_id"])

    async def search(
        self,
        *,
        caller: Principal,
        prefix: list[str],
        where: Row,
        query: str | None,
        limit: int,
        offset: int,
        refresh_ttl: bool,
        embed: Embed,
    ) -> list[Row]:
        """With a query, items that were indexed come first, by meaning and with a score, then the rest by time."""
        owner = owner_filter(caller)
        if not query:
            return await self._rows.search(
                owner=owner, prefix=prefix, where=where, limit=limit, offset=offset, refresh_ttl=refresh_ttl
            )
        wanted = min((offset + limit) * _SPARE, _MOST)
        scores = await self._meaning.nearest(query, embed, owner=owner, prefix=prefix, limit=wanted)
        near = await self._rows.search(
            owner=owner, prefix=prefix, where=where, limit=wanted, offset=0, refresh_ttl=refresh_ttl,
            ids=list(scores),
        )  # fmt: skip
        ranked = sorted(
            ({**row, "score": scores[row["item_id"]]} for row in near), key=lambda row: -row["score"]
        )
        if len(ranked) < offset + limit:
            known = {row["item_id"] for row in ranked}
            rest = await self._rows.search(
                owner=owner, prefix=prefix, where=where, limit=offset + limit, offset=0,
                refresh_ttl=refresh_ttl,
            )  # fmt: skip
            ranked += [{**row, "score": None} for row in rest if row["item_id"] not in known]
        return ranked[offset : offset + limit]

    async def namespaces(
        self,
        *,
        caller: Principal,
        prefix: list[str],
        suffix: list[str],
        max_depth: int | None,
        limit: int,
        offset: int,
    ) -> list[list[str]]:
        return await self._rows.namespaces(
            owner=owner_filter(caller),
            prefix=prefix,
            suffix=suffix,
            max_depth=max_depth,
            limit=limit,
            offset=offset,
        )

    async def expire(self) -> int:
        """Takes away what is over, with its vectors; how many."""
        gone: list[uuid.UUID] = await self._rows.expired()
        for item_id in gone:
            await self._meaning.forget(item_id)
        return len(gone)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                while await self.expire():
                    pass
            except (Error, PoolTimeout, OSError, Unavailable):
                log.warning("store sweep failed, tried again soon")
            await asyncio.sleep(SWEEP_S)
