"""A2A's push notifications: set with the official client, told by a post to a real receiver, and to nobody else."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from a2a.client import Client
from a2a.types import (
    AuthenticationInfo,
    DeleteTaskPushNotificationConfigRequest,
    GetTaskPushNotificationConfigRequest,
    ListTaskPushNotificationConfigsRequest,
    StreamResponse,
    Task,
    TaskPushNotificationConfig,
    TaskState,
)
from a2a.utils.errors import InvalidParamsError, TaskNotFoundError
from google.protobuf.json_format import ParseDict

from tests.tenant_runtime.access.signing import ISSUER, JWKS, token_sign
from tests.tenant_runtime.doors.test_a2a import BINDINGS, connected, said, send, text_of
from tests.tenant_runtime.receiving import Receiver, receiver_started
from tests.tenant_runtime.support import RuntimeProcess, runtime_environment, runtime_started, wait_until

TOKEN, CREDENTIALS = "correlation-token-1", "receivers-own-secret"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiver_started() as found:
        yield found


@pytest.fixture(scope="module")
def database(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture(scope="module")
def pushing(
    tmp_path_factory: pytest.TempPathFactory, database: str, test_agents: Path
) -> Iterator[RuntimeProcess]:
    environment = runtime_environment(
        database, RUNTIME_WEBHOOK_HTTP="on", RUNTIME_WEBHOOK_PRIVATE="on", RUNTIME_JWT_KEYS=JWKS,
        RUNTIME_JWT_ISSUER=ISSUER,
    )  # fmt: skip
    with runtime_started(tmp_path_factory.mktemp("pushing"), environment, manifest=test_agents) as running:
        yield running


def wanted(receiver: Receiver, **more: Any) -> TaskPushNotificationConfig:
    opening = AuthenticationInfo(scheme="Bearer", credentials=CREDENTIALS)
    return TaskPushNotificationConfig(url=receiver.url, token=TOKEN, authentication=opening, **more)


def told(receiver: Receiver, task_id: str) -> list[tuple[dict[str, str], Task]]:
    """(headers, task) of each post about the task, read as the protocol has it."""
    posts = [
        (head, ParseDict(json.loads(body), StreamResponse()).task) for head, body in list(receiver.posts)
    ]
    return [(head, task) for head, task in posts if task.id == task_id]


def waited(receiver: Receiver, task_id: str, count: int) -> list[tuple[dict[str, str], Task]]:
    return wait_until(
        lambda: found if len(found := told(receiver, task_id)) >= count else None, 20, "the notification"
    )


async def refused(client: Client, config: TaskPushNotificationConfig) -> None:
    with pytest.raises(InvalidParamsError):
        await client.create_task_push_notification_config(config)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_each_turn_of_a_task_is_told_once(
    pushing: RuntimeProcess, receiver: Receiver, database: str, binding: str
) -> None:
    async with connected(pushing, "asking", binding=binding) as client:
        task = await send(client, said(), task_push_notification_config=wanted(receiver))
        [(head, first)] = waited(receiver, task.id, 1)
        assert first.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
        assert (head["x-a2a-notification-token"], head["authorization"]) == (TOKEN, f"Bearer {CREDENTIALS}")
        await send(client, said("yes", task_id=task.id))
        second = waited(receiver, task.id, 2)[1][1]
        assert second.status.state == TaskState.TASK_STATE_COMPLETED
        assert text_of(second)
        assert len(told(receiver, task.id)) == 2
    with psycopg.connect(database) as conn:
        rows = conn.execute("SELECT opening::text, opening_type FROM a2a_push_configs").fetchall()
        assert rows
        assert all(kind.startswith("fh1:") for _, kind in rows), "what opens a receiver's door lies sealed"


@pytest.mark.parametrize("binding", BINDINGS)
async def test_receivers_are_added_listed_and_removed(
    pushing: RuntimeProcess, receiver: Receiver, binding: str
) -> None:
    async with connected(pushing, "slow", binding=binding) as client:
        task = await send(client, said())
        made = await client.create_task_push_notification_config(wanted(receiver, task_id=task.id, id="mine"))
        assert (made.id, made.url, made.authentication.scheme) == ("mine", receiver.url, "Bearer")
        assert (made.token, made.authentication.credentials) == ("", ""), (
            "what opens its door is not told again"
        )
        # The turn was over when its receiver came: it is told all the same.
        assert waited(receiver, task.id, 1)[0][1].status.state == TaskState.TASK_STATE_COMPLETED
        other = await client.create_task_push_notification_config(wanted(receiver, task_id=task.id))
        asked = ListTaskPushNotificationConfigsRequest(task_id=task.id)
        listed = (await client.list_task_push_notification_configs(asked)).configs
        assert [each.id for each in listed] == ["mine", other.id]
        request = GetTaskPushNotificationConfigRequest(task_id=task.id, id="mine")
        assert (await client.get_task_push_notification_config(request)).url == receiver.url
        gone = DeleteTaskPushNotificationConfigRequest(task_id=task.id, id="mine")
        await client.delete_task_push_notification_config(gone)
        with pytest.raises(TaskNotFoundError):
            await client.get_task_push_notification_config(request)
        for _ in range(9):
            await client.create_task_push_notification_config(wanted(receiver, task_id=task.id))
        await refused(client, wanted(receiver, task_id=task.id))


async def test_nobody_else_sees_or_sets_a_receiver(pushing: RuntimeProcess, receiver: Receiver) -> None:
    ada, bob = (token_sign(f"{name}-{uuid.uuid4().hex[:8]}") for name in ("ada", "bob"))
    async with connected(pushing, "slow", key=ada) as hers, connected(pushing, "slow", key=bob) as his:
        task = await send(hers, said())
        await hers.create_task_push_notification_config(wanted(receiver, task_id=task.id, id="1"))
        asked = {"task_id": task.id, "id": "1"}
        for attempt in (
            his.create_task_push_notification_config(wanted(receiver, task_id=task.id)),
            his.get_task_push_notification_config(GetTaskPushNotificationConfigRequest(**asked)),
            his.list_task_push_notification_configs(ListTaskPushNotificationConfigsRequest(task_id=task.id)),
            his.delete_task_push_notification_config(DeleteTaskPushNotificationConfigRequest(**asked)),
        ):
            with pytest.raises(TaskNotFoundError):
                await attempt
        found = await hers.get_task_push_notification_config(GetTaskPushNotificationConfigRequest(**asked))
        assert found.id == "1"


async def test_a_run_that_names_a_foreign_task_tells_nobody(
    pushing: RuntimeProcess, receiver: Receiver
) -> None:
    ada, bob = (token_sign(f"{name}-{uuid.uuid4().hex[:8]}") for name in ("ada", "bob"))
    async with connected(pushing, "slow", key=ada) as hers:
        task = await send(hers, said(), task_push_notification_config=wanted(receiver))
    waited(receiver, task.id, 1)
    with pushing.http(bob) as http:
        body = {"assistant_id": "slow", "input": {"steps": 1}, "metadata": {"a2a": {"task": task.id}}}
        http.post("/runs/wait", json=body).raise_for_status()
    async with connected(pushing, "slow", key=ada) as hers:
        after = await send(hers, said(), task_push_notification_config=wanted(receiver))
    waited(receiver, after.id, 1)
    assert len(told(receiver, task.id)) == 1


async def test_receivers_inside_are_refused(runtime: RuntimeProcess) -> None:
    """Without a leave for private addresses; the message that brings such a receiver starts nothing."""
    async with connected(runtime, "slow") as client:
        inside = TaskPushNotificationConfig(url="https://127.0.0.1/hook")
        with pytest.raises(InvalidParamsError):
            await send(client, said(), task_push_notification_config=inside)
        task = await send(client, said())
        for url in ("https://10.0.0.7/hook", "http://example.com/hook", "ftp://example.com", ""):
            await refused(client, TaskPushNotificationConfig(task_id=task.id, url=url))
        strange = TaskPushNotificationConfig(task_id=task.id, url="https://example.com/", token="a\r\nb: c")
        await refused(client, strange)
