"""The official A2A client against a live runtime, by both bindings: cards, tasks, streams, questions, owners."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from a2a.client import A2ACardResolver, Client, ClientConfig, create_client
from a2a.types import (
    CancelTaskRequest,
    GetExtendedAgentCardRequest,
    GetTaskRequest,
    ListTasksRequest,
    Message,
    Part,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskState,
)
from a2a.utils.errors import (
    ContentTypeNotSupportedError,
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value

from tests.tenant_runtime.access.signing import token_sign
from tests.tenant_runtime.support import API_KEY, RuntimeProcess

BINDINGS = ["HTTP+JSON", "JSONRPC"]


@asynccontextmanager
async def connected(
    runtime: RuntimeProcess,
    agent: str | None = None,
    *,
    key: str = API_KEY,
    binding: str = "HTTP+JSON",
    streaming: bool = False,
) -> AsyncIterator[Client]:
    base = runtime.url if agent is None else f"{runtime.url}/a2a/{agent}"
    async with httpx.AsyncClient(headers={"x-api-key": key}, timeout=30) as http:
        config = ClientConfig(
            httpx_client=http,
            streaming=streaming,
            supported_protocol_bindings=[binding],
            use_client_preference=True,
        )
        yield await create_client(base, client_config=config)


def said(text: str = "hello", *, data: dict[str, Any] | None = None, **more: Any) -> Message:
    parts = [Part(text=text)] if data is None else [Part(data=ParseDict(data, Value()))]
    return Message(message_id=uuid.uuid4().hex, role=Role.ROLE_USER, parts=parts, **more)


async def send(client: Client, message: Message, **configuration: Any) -> Task:
    """The last thing a send answers, as a task."""
    request = SendMessageRequest(message=message, configuration=SendMessageConfiguration(**configuration))
    answers = [answer async for answer in client.send_message(request)]
    assert answers[-1].HasField("task")
    return answers[-1].task


def text_of(task: Task) -> str:
    return "".join(part.text for artifact in task.artifacts for part in artifact.parts)


async def test_the_card_is_open_and_says_how_to_come_in(runtime: RuntimeProcess) -> None:
    async with httpx.AsyncClient(timeout=30) as nobody:
        card = await A2ACardResolver(nobody, runtime.url).get_agent_card()
        assert card.name == "document_analyst"
        assert {each.protocol_binding for each in card.supported_interfaces} == set(BINDINGS)
        assert all(each.url.startswith(runtime.url) for each in card.supported_interfaces)
        assert set(card.security_schemes) == {"api_key", "bearer"}
        assert card.security_schemes["api_key"].api_key_security_scheme.name == "x-api-key"
        assert card.capabilities.streaming
        other = await A2ACardResolver(nobody, f"{runtime.url}/a2a/slow").get_agent_card()
        assert other.name == "slow"
        assert (await nobody.get(f"{runtime.url}/a2a/nobody/.well-known/agent-card.json")).status_code == 404
        lying = await nobody.get(
            f"{runtime.url}/.well-known/agent-card.json", headers={"Host": "evil.example/@"}
        )
        assert "evil.example" not in lying.text
    async with connected(runtime, "slow") as client:
        extended = await client.get_extended_agent_card(GetExtendedAgentCardRequest())
        assert extended.name == "slow"


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_message_becomes_a_task_that_completes(runtime: RuntimeProcess, binding: str) -> None:
    async with connected(runtime, "document_analyst", binding=binding) as client:
        task = await send(client, said("How long are nightly backups kept?"))
        assert task.status.state == TaskState.TASK_STATE_COMPLETED
        assert "35 days" in text_of(task)
        assert uuid.UUID(task.id)
        assert uuid.UUID(task.context_id)
        got = await client.get_task(GetTaskRequest(id=task.id))
        assert got == task
        assert [message.role for message in got.history] == [Role.ROLE_USER]
        short = await client.get_task(GetTaskRequest(id=task.id, history_length=0))
        assert not short.history
        more = await send(client, said("And monthly backups?", context_id=task.context_id))
        assert more.context_id == task.context_id
        assert more.id != task.id
        assert "seven years" in text_of(more)


async def test_the_root_is_the_first_agent(runtime: RuntimeProcess) -> None:
    async with connected(runtime) as client:
        task = await send(client, said("How long are nightly backups kept?"))
    assert "35 days" in text_of(task)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_stream_tells_the_task_the_answer_and_the_end(runtime: RuntimeProcess, binding: str) -> None:
    async with connected(runtime, "slow", binding=binding, streaming=True) as client:
        request = SendMessageRequest(message=said())
        events = [event async for event in client.send_message(request)]
        kinds = [event.WhichOneof("payload") for event in events]
        assert kinds[0] == "task"
        assert kinds[-1] == "status_update"
        assert set(kinds[1:-1]) == {"artifact_update"}
        task_id = events[0].task.id
        assert events[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
        text = "".join(
            part.text
            for event in events
            if event.HasField("artifact_update")
            for part in event.artifact_update.artifact.parts
        )
        got = await client.get_task(GetTaskRequest(id=task_id))
        assert text == text_of(got) == "done after 3"


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_question_is_answered_in_its_task(runtime: RuntimeProcess, binding: str) -> None:
    async with connected(runtime, "asking", binding=binding) as client:
        task = await send(client, said("please"))
        assert task.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
        assert task.status.message.parts[0].text == "may I?"
        assert not task.artifacts
        answered = await send(client, said("yes", task_id=task.id, context_id=task.context_id))
        assert answered.id == task.id
        assert answered.status.state == TaskState.TASK_STATE_COMPLETED
        assert text_of(answered) == "they said yes"
        assert [message.parts[0].text for message in answered.history] == ["please", "yes"]
        with pytest.raises(UnsupportedOperationError):
            await send(client, said("again", task_id=task.id))


async def test_a_task_is_begun_watched_and_canceled(runtime: RuntimeProcess) -> None:
    async with connected(runtime, "slow", streaming=True) as client, connected(runtime, "slow") as other:
        slowly = said(data={"delay": 30, "steps": 2})
        begun = await send(other, slowly, return_immediately=True)
        assert begun.status.state in (TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING)
        watching = client.subscribe(SubscribeToTaskRequest(id=begun.id))
        first = await anext(watching)
        assert first.task.id == begun.id
        canceled = await other.cancel_task(CancelTaskRequest(id=begun.id))
        assert canceled.status.state == TaskState.TASK_STATE_CANCELED
        rest = [event async for event in watching]
        assert rest[-1].status_update.status.state == TaskState.TASK_STATE_CANCELED
        with pytest.raises(TaskNotCancelableError):
            await other.cancel_task(CancelTaskRequest(id=begun.id))
        with pytest.raises(UnsupportedOperationError):
            await anext(client.subscribe(SubscribeToTaskRequest(id=begun.id)))


async def test_a_failed_task_says_why(runtime: RuntimeProcess) -> None:
    async with connected(runtime, "failing") as client:
        task = await send(client, said())
    assert task.status.state == TaskState.TASK_STATE_FAILED
    assert "the reason" in task.status.message.parts[0].text


async def test_tasks_are_listed_by_page_context_and_state(runtime: RuntimeProcess) -> None:
    key = token_sign(f"lists-{uuid.uuid4().hex[:8]}")
    async with connected(runtime, "slow", key=key) as client, connected(runtime, "asking", key=key) as asking:
        first = await send(client, said())
        second = await send(client, said(context_id=first.context_id))
        third = await send(client, said())
        waits = await send(asking, said())
        whole = await client.list_tasks(ListTasksRequest())
        assert [task.id for task in whole.tasks] == [third.id, second.id, first.id]
        assert (whole.total_size, whole.next_page_token) == (3, "")
        page = await client.list_tasks(ListTasksRequest(page_size=2))
        assert [task.id for task in page.tasks] == [third.id, second.id]
        rest = await client.list_tasks(ListTasksRequest(page_size=2, page_token=page.next_page_token))
        assert [task.id for task in rest.tasks] == [first.id]
        here = await client.list_tasks(ListTasksRequest(context_id=first.context_id))
        assert {task.id for task in here.tasks} == {first.id, second.id}
        for state, found in (
            (TaskState.TASK_STATE_INPUT_REQUIRED, [waits.id]),
            (TaskState.TASK_STATE_COMPLETED, []),
        ):
            assert [t.id for t in (await asking.list_tasks(ListTasksRequest(status=state))).tasks] == found
        with pytest.raises(InvalidParamsError):
            await client.list_tasks(ListTasksRequest(page_size=101))


async def test_what_is_not_taken(runtime: RuntimeProcess) -> None:
    async with connected(runtime, "slow") as client:
        message = said()
        message.parts[0].url = "https://example.com/file"
        with pytest.raises(ContentTypeNotSupportedError):
            await send(client, message)
        with pytest.raises(InvalidParamsError):
            await send(client, said(context_id="not-a-uuid"))
        with pytest.raises(TaskNotFoundError):
            await send(client, said(task_id=str(uuid.uuid4())))


@pytest.mark.parametrize("binding", BINDINGS)
async def test_another_ones_task_is_not_there(runtime: RuntimeProcess, binding: str) -> None:
    ada, bob = (token_sign(f"{name}-{uuid.uuid4().hex[:8]}") for name in ("ada", "bob"))
    async with (
        connected(runtime, "asking", key=ada, binding=binding) as hers,
        connected(runtime, "asking", key=bob, binding=binding) as his,
        connected(runtime, "slow", key=ada, binding=binding) as wrong_agent,
    ):
        task = await send(hers, said())
        for client in (his, wrong_agent):
            for attempt in (
                client.get_task(GetTaskRequest(id=task.id)),
                client.cancel_task(CancelTaskRequest(id=task.id)),
                send(client, said("yes", task_id=task.id)),
            ):
                with pytest.raises(TaskNotFoundError):
                    await attempt
        with pytest.raises(TaskNotFoundError):
            await send(his, said(context_id=task.context_id))
        assert not (await his.list_tasks(ListTasksRequest())).tasks
        still = await hers.get_task(GetTaskRequest(id=task.id))
        assert still.status.state == TaskState.TASK_STATE_INPUT_REQUIRED


async def test_an_agent_that_is_not_there(runtime: RuntimeProcess) -> None:
    headers = {"A2A-Version": "1.0", "x-api-key": API_KEY}
    async with httpx.AsyncClient(timeout=30, headers=headers) as http:
        assert (await http.get(f"{runtime.url}/a2a/nobody/tasks")).status_code == 404
        call = {"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {}}
        assert (await http.post(f"{runtime.url}/a2a/nobody", json=call)).json()["error"]["code"] == -32601


async def test_a_stranger_is_refused(runtime: RuntimeProcess) -> None:
    async with httpx.AsyncClient(timeout=30) as nobody:
        for method, path in (("POST", "/message:send"), ("GET", "/tasks"), ("POST", "/a2a/slow")):
            answer = await nobody.request(method, f"{runtime.url}{path}", headers={"A2A-Version": "1.0"})
            assert answer.status_code == 401
