"""The event stream: resumes by id, ends by itself, and answers JSON pages too."""

import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient

from controlplane.accounts import roles
from controlplane.accounts.services import team_create
from controlplane.core import clock
from controlplane.operations import services
from controlplane.operations.events import events_append
from controlplane.operations.models import Operation
from controlplane.tenants.services import tenant_create
from tests.support.people import Person, person_make

pytestmark = pytest.mark.django_db(transaction=True)


def make() -> tuple[Person, Operation]:
    person = person_make("watch@example.com", team_create(name="T", actor="t", now=clock.now()), roles.OWNER)
    _, operation = tenant_create(
        principal=person.principal, slug="acme", name="Acme", plan="starter", target="local", now=clock.now()
    )
    return person, operation


def frames(text: str) -> list[dict[str, str]]:
    blocks = [block for block in text.split("\n\n") if block and not block.startswith((":", "retry"))]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


async def read(person: Person, operation: Operation, **headers: str) -> str:
    answer: Any = await AsyncClient().get(
        f"/api/v1/operations/{operation.id}/events",
        headers={"authorization": f"Bearer {person.key}", "accept": "text/event-stream", **headers},
    )
    assert answer.status_code == 200
    return "".join([chunk.decode() async for chunk in answer.streaming_content])


async def test_a_finished_operation_streams_its_events_and_closes() -> None:
    person, operation = await sync_to_async(make)()
    await sync_to_async(events_append)(
        operation_id=operation.id,
        at=clock.now(),
        events=[("diagnostic", {"severity": "info", "message": "one"})],
    )
    await sync_to_async(services.operation_cancel)(operation=operation, actor="t", now=clock.now())
    got = frames(await read(person, operation))
    assert [frame["event"] for frame in got] == ["state", "diagnostic", "state", "close"]
    assert "id" not in got[-1]
    assert json.loads(got[-1]["data"])["state"] == "canceled"
    resumed = frames(await read(person, operation, **{"last-event-id": got[0]["id"]}))
    assert [frame.get("id") for frame in resumed] == [frame.get("id") for frame in got[1:]]


async def test_news_reach_a_waiting_watcher_by_notification() -> None:
    import asyncio

    person, operation = await sync_to_async(make)()
    watching = asyncio.create_task(read(person, operation))
    await asyncio.sleep(0.5)
    assert not watching.done()
    await sync_to_async(services.operation_cancel)(operation=operation, actor="t", now=clock.now())
    # Far below the heartbeat of 15 s: it was the notification that woke the stream.
    got = frames(await asyncio.wait_for(watching, 5))
    assert got[-1]["event"] == "close"


async def test_json_pages_and_refusals() -> None:
    person, operation = await sync_to_async(make)()
    client = AsyncClient()
    path = f"/api/v1/operations/{operation.id}/events"
    page: Any = await client.get(
        path, headers={"authorization": f"Bearer {person.key}", "accept": "application/json"}
    )
    assert [row["type"] for row in page.json()["results"]] == ["state"]
    first: Any = await client.get(
        f"{path}?limit=1", headers={"authorization": f"Bearer {person.key}", "accept": "application/json"}
    )
    assert (len(first.json()["results"]), first.json()["next"]) == (1, None)
    wide = await client.get(f"{path}?limit=201", headers={"authorization": f"Bearer {person.key}"})
    assert wide.status_code == 422
    anonymous: Any = await client.get(path)
    assert (anonymous.status_code, anonymous.headers["Content-Type"]) == (401, "application/problem+json")
    stranger = await sync_to_async(person_make)(
        "sam@example.org", await sync_to_async(team_create)(name="S", actor="t", now=clock.now()), roles.OWNER
    )
    assert (await client.get(path, headers={"authorization": f"Bearer {stranger.key}"})).status_code == 404
    bad = await client.get(f"{path}?cursor=x", headers={"authorization": f"Bearer {person.key}"})
    assert bad.status_code == 422
