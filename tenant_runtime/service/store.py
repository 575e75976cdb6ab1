"""The store as SDK clients call it: items by namespace and key, found by value, by meaning or by namespace."""

import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from tenant_runtime.bodies import Body
from tenant_runtime.engine.serial import plain
from tenant_runtime.errors import Invalid
from tenant_runtime.memory.long_term import Embed
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.requests import Caller, InRuntime

router = APIRouter(prefix="/store", tags=["store"])
Row = dict[str, Any]
Label = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^.]+$")]
Namespace = Annotated[list[Label], Field(min_length=1, max_length=20)]
Prefix = Annotated[list[Label], Field(max_length=20)]
Key = Annotated[str, Field(min_length=1, max_length=500)]


class ItemIn(Body):
    namespace: Namespace
    key: Key
    value: Row
    index: (
        Literal[False] | Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=20)] | None
    ) = None
    ttl: Annotated[float | None, Field(gt=0, le=60 * 24 * 3660)] = None
    """Minutes."""


class ItemPlace(Body):
    namespace: Namespace
    key: Key


class ItemSearch(Body):
    namespace_prefix: Prefix = []
    filter: Row | None = None
    query: Annotated[str | None, Field(max_length=8000)] = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 10
    offset: Annotated[int, Field(ge=0, le=100_000)] = 0
    refresh_ttl: bool | None = None


class NamespaceSearch(Body):
    prefix: Prefix | None = None
    suffix: Prefix | None = None
    max_depth: Annotated[int | None, Field(ge=1)] = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    offset: Annotated[int, Field(ge=0)] = 0


def item_render(row: Row) -> Row:
    names = ("namespace", "key", "value", "created_at", "updated_at")
    rendered: Row = plain({name: row[name] for name in names})
    if "score" in row:
        rendered["score"] = row["score"]
    return rendered


def _embed(runtime: Runtime, user: str) -> Embed:
    return runtime.embed_for(account_id=f"store-{uuid.uuid4()}", user=user)


@router.put("/items", status_code=204)
async def item_put(body: ItemIn, runtime: InRuntime, caller: Caller) -> None:
    """`index` names the fields that are found by meaning; embedding them costs, so it is refused while runs are."""
    index = body.index or None
    if index:
        await runtime.pause.refuse_while_paused()
    await runtime.store.put(
        caller=caller, namespace=body.namespace, key=body.key, value=body.value, index=index,
        ttl_minutes=body.ttl, embed=_embed(runtime, caller.id),
    )  # fmt: skip


@router.get("/items")
async def item_get(
    runtime: InRuntime,
    caller: Caller,
    key: Annotated[str, Query(min_length=1, max_length=500)],
    namespace: Annotated[str, Query(max_length=4000)] = "",
    refresh_ttl: bool = True,
) -> Row:
    """`namespace` with dots between its labels."""
    if "\x00" in key + namespace:
        raise Invalid("the NUL character cannot be stored")
    labels = namespace.split(".") if namespace else []
    row = await runtime.store.get(caller=caller, namespace=labels, key=key, refresh_ttl=refresh_ttl)
    return item_render(row)


@router.delete("/items", status_code=204)
async def item_delete(body: ItemPlace, runtime: InRuntime, caller: Caller) -> None:
    await runtime.store.delete(caller=caller, namespace=body.namespace, key=body.key)


@router.post("/items/search")
async def item_search(body: ItemSearch, runtime: InRuntime, caller: Caller) -> dict[str, list[Row]]:
    rows = await runtime.store.search(
        caller=caller, prefix=body.namespace_prefix, where=body.filter or {}, query=body.query,
        limit=body.limit, offset=body.offset, refresh_ttl=body.refresh_ttl is not False,
        embed=_embed(runtime, caller.id),
    )  # fmt: skip
    return {"items": [item_render(row) for row in rows]}


@router.post("/namespaces")
async def namespace_list(
    body: NamespaceSearch, runtime: InRuntime, caller: Caller
) -> dict[str, list[list[str]]]:
    found = await runtime.store.namespaces(
        caller=caller, prefix=body.prefix or [], suffix=body.suffix or [], max_depth=body.max_depth,
        limit=body.limit, offset=body.offset,
    )  # fmt: skip
    return {"namespaces": found}
