"""Rows of the store. `owner` None sees everybody's items, its own first; a foreign item is a missing one."""

import uuid
from typing import Any, Final

from psycopg import sql
from psycopg.types.json import Jsonb

from tenant_runtime.database import Pool
from tenant_runtime.errors import Invalid, NotFound

Row = dict[str, Any]
_LIVE: Final = sql.SQL("(expires_at IS NULL OR expires_at > now())")
_MINE: Final = sql.SQL("(%(owner)s::text IS NULL OR owner = %(owner)s)")
_COLUMNS: Final = sql.SQL("item_id, owner, namespace, key, value, indexed, created_at, updated_at")
_OPERATORS: Final = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


class StoreRows:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def put(
        self,
        *,
        owner: str,
        namespace: list[str],
        key: str,
        value: Row,
        indexed: list[str] | None,
        ttl_minutes: float | None,
    ) -> Row:
        """Writes the item over what its owner keeps at that place. Without a ttl it stays for good."""
        statement = sql.SQL(
            "INSERT INTO store_items (item_id, owner, namespace, key, value, indexed, ttl_minutes, expires_at) "
            "VALUES (%(id)s, %(owner)s, %(ns)s, %(key)s, %(value)s, %(indexed)s::text[], %(ttl)s::float8, "
            "now() + make_interval(secs => %(ttl)s::float8 * 60)) ON CONFLICT (owner, namespace, key) DO UPDATE SET "
            "value = excluded.value, indexed = excluded.indexed, ttl_minutes = excluded.ttl_minutes, "
            "expires_at = excluded.expires_at, updated_at = now() RETURNING {}"
        ).format(_COLUMNS)
        values = {
            "id": uuid.uuid4(), "owner": owner, "ns": namespace, "key": key, "value": Jsonb(value),
            "indexed": indexed, "ttl": ttl_minutes,
        }  # fmt: skip
        async with self._pool.connection() as conn:
            row = await (await conn.execute(statement, values)).fetchone()
        assert row is not None
        return row

    async def owner_at(self, *, owner: str | None, me: str, namespace: list[str], key: str) -> str:
        """Whose item a write at that place changes: one that is there and visible, else the writer's own."""
        if owner is not None:
            return owner
        try:
            return str((await self.get(owner=None, me=me, namespace=namespace, key=key))["owner"])
        except NotFound:
            return me

    async def get(
        self, *, owner: str | None, me: str, namespace: list[str], key: str, refresh_ttl: bool = False
    ) -> Row:
        """NotFound when there is none, or its time is over. Reading one may begin its time anew."""
        found = sql.SQL(
            "SELECT item_id FROM store_items WHERE namespace = %(ns)s AND key = %(key)s AND {} AND {} "
            "ORDER BY (owner = %(me)s) DESC, owner LIMIT 1"
        ).format(_LIVE, _MINE)
        if refresh_ttl:
            statement = sql.SQL(
                "UPDATE store_items SET expires_at = now() + make_interval(secs => ttl_minutes * 60) "
                "WHERE item_id = ({}) RETURNING {}"
            ).format(found, _COLUMNS)
        else:
            statement = sql.SQL("SELECT {} FROM store_items WHERE item_id = ({})").format(_COLUMNS, found)
        values = {"ns": namespace, "key": key, "owner": owner, "me": me}
        async with self._pool.connection() as conn:
            row = await (await conn.execute(statement, values)).fetchone()
        if row is None:
            raise NotFound(f"no item {key[:80]!r} in this namespace", code="item_not_found")
        return row

    async def delete(self, item_id: uuid.UUID) -> None:
        async with self._pool.connection() as conn:
            await conn.execute("DELETE FROM store_items WHERE item_id = %s", [item_id])

    async def search(
        self,
        *,
        owner: str | None,
        prefix: list[str],
        where: Row,
        limit: int,
        offset: int,
        refresh_ttl: bool,
        ids: list[uuid.UUID] | None = None,
    ) -> list[Row]:
        """Items below a namespace whose values fit, newest first; of `ids` only, where given."""
        clauses, values = filter_sql(where)
        clauses += [
            _LIVE,
            _MINE,
            sql.SQL("namespace[1:cardinality(%(prefix)s::text[])] = %(prefix)s"),
        ]
        if ids is not None:
            clauses.append(sql.SQL("item_id = ANY(%(ids)s)"))
        found = sql.SQL(
            "SELECT {} FROM store_items WHERE {} ORDER BY updated_at DESC, item_id LIMIT %(limit)s OFFSET %(offset)s"
        ).format(_COLUMNS, sql.SQL(" AND ").join(clauses))
        values |= {"owner": owner, "prefix": prefix, "limit": limit, "offset": offset, "ids": ids}
        async with self._pool.connection() as conn, conn.transaction():
            rows = await (await conn.execute(found, values)).fetchall()
            if refresh_ttl and rows:
                await conn.execute(
                    "UPDATE store_items SET expires_at = now() + make_interval(secs => ttl_minutes * 60) "
                    "WHERE item_id = ANY(%s) AND ttl_minutes IS NOT NULL",
                    [[row["item_id"] for row in rows]],
                )
        return rows

    async def namespaces(
        self,
        *,
        owner: str | None,
        prefix: list[str],
        suffix: list[str],
        max_depth: int | None,
        limit: int,
        offset: int,
    ) -> list[list[str]]:
        """The distinct namespaces that hold items, cut at `max_depth`, in order. `*` stands for any one label."""
        statement = sql.SQL(
            "SELECT DISTINCT namespace[1:coalesce(%(depth)s::int, cardinality(namespace))] AS ns FROM store_items "
            "WHERE {} AND {} AND cardinality(namespace) >= greatest(%(p)s, %(s)s) "
            "AND NOT EXISTS (SELECT 1 FROM generate_subscripts(%(prefix)s::text[], 1) AS i WHERE "
            "(%(prefix)s::text[])[i] NOT IN ('*', namespace[i])) "
            "AND NOT EXISTS (SELECT 1 FROM generate_subscripts(%(suffix)s::text[], 1) AS i WHERE "
            "(%(suffix)s::text[])[i] NOT IN ('*', namespace[cardinality(namespace) - %(s)s + i])) "
            "ORDER BY ns LIMIT %(limit)s OFFSET %(offset)s"
        ).format(_LIVE, _MINE)
        values = {
            "owner": owner, "prefix": prefix, "suffix": suffix, "p": len(prefix), "s": len(suffix),
            "depth": max_depth, "limit": limit, "offset": offset,
        }  # fmt: skip
        async with self._pool.connection() as conn:
            return [row["ns"] for row in await (await conn.execute(statement, values)).fetchall()]

    async def expired(self, limit: int = 200) -> list[uuid.UUID]:
        """Takes away items whose time is over; their ids."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "DELETE FROM store_items WHERE item_id IN (SELECT item_id FROM store_items "
                "WHERE expires_at <= now() LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING item_id",
                [limit],
            )
            return [row["item_id"] for row in await cursor.fetchall()]


def filter_sql(where: Row) -> tuple[list[sql.Composable], Row]:
    """Clauses for a filter over values: equality, or `{"$gt": 3}` and its like. Values never become SQL text."""
    clauses: list[sql.Composable] = []
    values: Row = {}
    for number, (name, wanted) in enumerate(where.items()):
        operators = (
            wanted if isinstance(wanted, dict) and any(key.startswith("$") for key in wanted) else None
        )
        if operators is None:
            operators = {"$eq": wanted}
        for each, operand in operators.items():
            key = f"f{number}{each.lstrip('$')}"
            if not key.isalnum():
                raise Invalid(f"`filter` has an operator that is not there: {each[:20]!r}")
            values |= {f"{key}n": name, key: Jsonb(operand)}
            got = sql.SQL("value -> {}").format(sql.Placeholder(f"{key}n"))
            held = sql.Placeholder(key)
            if each in ("$eq", "$ne"):
                # Containment of the pair, so that the index over values is used.
                values[key] = Jsonb({name: operand})
                holds = "value @> {}" if each == "$eq" else "NOT value @> {}"
                clause: sql.Composable = sql.SQL(holds).format(held)
            elif each in _OPERATORS:
                # jsonb orders values of different kinds too, so the kinds must agree.
                clause = sql.SQL("(jsonb_typeof({}) = jsonb_typeof({}) AND {} {} {})").format(
                    got, held, got, sql.SQL(_OPERATORS[each]), held
                )
            else:
                raise Invalid(
                    f"`filter` has an operator that is not there: {each[:20]!r}; wanted one of "
                    f"$eq, $ne, {', '.join(_OPERATORS)}"
                )
            clauses.append(clause)
    return clauses, values
