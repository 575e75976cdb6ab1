"""The operations of A2A on runs. The SDK's dispatchers do the wire; everything here is rows, so any replica answers."""

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC
from typing import Any, Final

from a2a.server.context import ServerCallContext
from a2a.server.events.event_queue import Event
from a2a.server.request_handlers.request_handler import RequestHandler
from a2a.types import (
    AgentCard,
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTaskPushNotificationConfigsResponse,
    ListTasksRequest,
    ListTasksResponse,
    Message,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskArtifactUpdateEvent,
    TaskPushNotificationConfig,
    TaskState,
    TaskStatusUpdateEvent,
)
from a2a.utils.errors import (
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)

from tenant_runtime.access.visibility import owner_filter
from tenant_runtime.doors.a2a.asking import Asking
from tenant_runtime.doors.a2a.parts import (
    agent_input,
    agent_resume,
)
from tenant_runtime.doors.a2a.pushing import push_read, push_shown
from tenant_runtime.doors.a2a.rows import TaskRows
from tenant_runtime.doors.a2a.tasks import answer_artifact, task_render, task_status
from tenant_runtime.doors.outcomes import STREAM_MODES, outcome_wait, texts_follow
from tenant_runtime.doors.texts import remainder
from tenant_runtime.engine.states import ACTIVE
from tenant_runtime.service.waiting import run_ended
from tenant_runtime.starting.requests import RunRequest
from tenant_runtime.starting.runs import run_start
from tenant_runtime.webhooks.pushes import PushConfig

Row = dict[str, Any]
_PAGE: Final = 50
_PAGE_MOST: Final = 100
_STATUSES: Final[dict[int, tuple[list[str] | None, bool | None]]] = {
    TaskState.TASK_STATE_UNSPECIFIED: (None, None),
    TaskState.TASK_STATE_SUBMITTED: (["pending"], None),
    TaskState.TASK_STATE_WORKING: (["running"], None),
    TaskState.TASK_STATE_COMPLETED: (["success"], False),
    TaskState.TASK_STATE_FAILED: (["error", "timeout"], False),
    TaskState.TASK_STATE_CANCELED: (["interrupted"], False),
    TaskState.TASK_STATE_INPUT_REQUIRED: (None, True),
}


class RunTasks(RequestHandler):
    """One for the whole application: who asks, and for which agent, comes with each call (asking.py)."""

    async def on_message_send(self, params: SendMessageRequest, context: ServerCallContext) -> Task | Message:
        asking = Asking.of(context)
        async with asking.faults():
            run, task_id = await self._start(asking, params, streamed=False)
            if not params.configuration.return_immediately:
                await run_ended(asking.runtime, run["run_id"])
            return await self._task(asking, task_id, _history_wanted(params.configuration))

    async def on_message_send_stream(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event]:
        asking = Asking.of(context)
        async with asking.faults():
            run, task_id = await self._start(asking, params, streamed=True)
            async with aclosing(self._events(asking, run, task_id)) as events:
                async for event in events:
                    yield event

    async def on_subscribe_to_task(
        self, params: SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event]:
        asking = Asking.of(context)
        async with asking.faults():
            run = (await self._runs(asking, params.id))[-1]
            if run["status"] not in ACTIVE:
                raise UnsupportedOperationError("the task is not going on: get it instead")
            async with aclosing(self._events(asking, run, run["task_id"])) as events:
                async for event in events:
                    yield event

    async def on_get_task(self, params: GetTaskRequest, context: ServerCallContext) -> Task | None:
        asking = Asking.of(context)
        async with asking.faults():
            return await self._task(asking, params.id, _history_wanted(params))

    async def on_list_tasks(self, params: ListTasksRequest, context: ServerCallContext) -> ListTasksResponse:
        asking = Asking.of(context)
        size = params.page_size or _PAGE
        if not 1 <= size <= _PAGE_MOST:
            raise InvalidParamsError(f"page_size: wanted 1 to {_PAGE_MOST}")
        if params.page_token and not params.page_token.isdecimal():
            raise InvalidParamsError("page_token: wanted one that an answer gave")
        offset = int(params.page_token or 0)
        statuses, waiting = _STATUSES.get(params.status, ([], None))
        after = params.status_timestamp_after
        wanted_after = after.ToDatetime(UTC) if params.HasField("status_timestamp_after") else None
        async with asking.faults():
            rows, total = await self._rows(asking).page(
                thread_id=_thread_id(params.context_id),
                statuses=statuses,
                waiting=waiting,
                after=wanted_after,
                limit=size,
                offset=offset,
            )
            history = params.history_length if params.HasField("history_length") else 0
            tasks = [await self._task(asking, row["task_id"], history) for row in rows]
        following = str(offset + size) if offset + size < total else ""
        return ListTasksResponse(tasks=tasks, next_page_token=following, page_size=size, total_size=total)

    async def on_cancel_task(self, params: CancelTaskRequest, context: ServerCallContext) -> Task | None:
        asking = Asking.of(context)
        async with asking.faults():
            run = (await self._runs(asking, params.id))[-1]
            if await asking.runtime.run_cancel(run["run_id"], "interrupt") is None:
                raise TaskNotCancelableError(f"the task is over: {run['status']}")
            await run_ended(asking.runtime, run["run_id"])
            return await self._task(asking, params.id, None)

    async def on_get_extended_agent_card(
        self, params: GetExtendedAgentCardRequest, context: ServerCallContext
    ) -> AgentCard:
        return Asking.of(context).card

    async def on_create_task_push_notification_config(
        self, params: TaskPushNotificationConfig, context: ServerCallContext
    ) -> TaskPushNotificationConfig:
        asking = Asking.of(context)
        async with asking.faults():
            task_id = await self._known(asking, params.task_id)
            config = push_read(params, policy=asking.runtime.settings.webhook_policy)
            await asking.runtime.push_configs.set(task_id, config)
            return push_shown(task_id, config)

    async def on_get_task_push_notification_config(
        self, params: GetTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> TaskPushNotificationConfig:
        asking = Asking.of(context)
        async with asking.faults():
            task_id = await self._known(asking, params.task_id)
            if found := await asking.runtime.push_configs.of_task(task_id, params.id):
                return push_shown(task_id, found[0])
        raise TaskNotFoundError("the task has no push notification config of that id")

    async def on_list_task_push_notification_configs(
        self, params: ListTaskPushNotificationConfigsRequest, context: ServerCallContext
    ) -> ListTaskPushNotificationConfigsResponse:
        asking = Asking.of(context)
        async with asking.faults():
            task_id = await self._known(asking, params.task_id)
            found = await asking.runtime.push_configs.of_task(task_id)
            return ListTaskPushNotificationConfigsResponse(
                configs=[push_shown(task_id, each) for each in found]
            )

    async def on_delete_task_push_notification_config(
        self, params: DeleteTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> None:
        asking = Asking.of(context)
        async with asking.faults():
            task_id = await self._known(asking, params.task_id)
            await asking.runtime.push_configs.remove(task_id, params.id)

    async def _known(self, asking: Asking, task_id: str) -> uuid.UUID:
        return uuid.UUID((await self._runs(asking, task_id))[0]["task_id"])

    @staticmethod
    def _rows(asking: Asking) -> TaskRows:
        owner = owner_filter(asking.principal)
        return TaskRows(asking.runtime.pool, owner=owner, agent=asking.agent.entry.name)

    async def _runs(self, asking: Asking, task_id: str) -> list[Row]:
        """At least one. A task of somebody else, or of another agent, is not there."""
        rows = await self._rows(asking).runs(task_id)
        if not rows or rows[0]["task_id"] != task_id:
            raise TaskNotFoundError
        return rows

    async def _start(self, asking: Asking, params: SendMessageRequest, *, streamed: bool) -> tuple[Row, str]:
        """The new run, and the id of the task it belongs to."""
        receiver = _receiver(asking, params)
        message, agent = params.message, asking.agent.entry.name
        a2a: Row = {"message_id": message.message_id}
        wanted: Row = {
            "assistant_id": agent,
            "on_completion": "keep",
            "if_not_exists": "create",
            "stream_mode": STREAM_MODES if streamed else "values",
            "metadata": {"door": "a2a", "a2a": a2a},
        }
        if message.task_id:
            last = (await self._runs(asking, message.task_id))[-1]
            if not last["waiting"]:
                raise UnsupportedOperationError(
                    "the task does not wait for input: send the message without a task, in its context"
                )
            if message.context_id and message.context_id != str(last["thread_id"]):
                raise InvalidParamsError("the task is in another context")
            a2a["task"] = message.task_id
            # Whoever answers first is heard; a second answer must not start the agent anew.
            wanted |= {"command": {"resume": agent_resume(message)}, "multitask_strategy": "reject"}
            thread_id: uuid.UUID | None = last["thread_id"]
        else:
            wanted["input"] = agent_input(message)
            thread_id = _thread_id(message.context_id)
        run = await run_start(
            asking.runtime,
            principal=asking.principal,
            assistant_ref=agent,
            thread_id=thread_id,
            request=RunRequest.model_validate(wanted),
        )
        task_id = a2a.get("task") or str(run["run_id"])
        if receiver is not None:
            await asking.runtime.push_configs.set(uuid.UUID(task_id), receiver)
        return run, task_id

    async def _task(self, asking: Asking, task_id: str, history: int | None) -> Task:
        return await task_render(asking.runtime, await self._runs(asking, task_id), history)

    async def _events(self, asking: Asking, run: Row, task_id: str) -> AsyncGenerator[Event]:
        """The task, what the agent says as it says it, and how the task stands when the run is over."""
        runtime, run_id, context_id = asking.runtime, run["run_id"], str(run["thread_id"])
        yield await self._task(asking, task_id, None)
        said, begun = "", False

        def piece(text: str, *, last: bool) -> TaskArtifactUpdateEvent:
            return TaskArtifactUpdateEvent(
                task_id=task_id,
                context_id=context_id,
                artifact=answer_artifact(run, text),
                append=begun,
                last_chunk=last,
            )

        async with aclosing(texts_follow(runtime, run_id)) as texts:
            async for text in texts:
                if text is not None:
                    yield piece(text, last=False)
                    said, begun = said + text, True
        outcome = await outcome_wait(runtime, run_id)
        finished = outcome.error is None and not outcome.canceled and not outcome.interrupts
        if finished and (rest := remainder(said, outcome.text)):
            yield piece(rest, last=True)
        row = (await self._runs(asking, task_id))[-1]
        status = task_status(row, outcome, task_id)
        yield TaskStatusUpdateEvent(task_id=task_id, context_id=context_id, status=status)


def _receiver(asking: Asking, params: SendMessageRequest) -> PushConfig | None:
    """Whom a message wants to be told; read before anything is started."""
    if not params.configuration.HasField("task_push_notification_config"):
        return None
    given = params.configuration.task_push_notification_config
    return push_read(given, policy=asking.runtime.settings.webhook_policy)


def _history_wanted(params: Any) -> int | None:
    if not params.HasField("history_length"):
        return None
    if params.history_length < 0:
        raise InvalidParamsError("history_length: wanted 0 or more")
    return int(params.history_length)


def _thread_id(context_id: str) -> uuid.UUID | None:
    if not context_id:
        return None
    try:
        return uuid.UUID(context_id)
    except ValueError:
        raise InvalidParamsError("context_id: wanted a UUID, as an earlier task gave it") from None
