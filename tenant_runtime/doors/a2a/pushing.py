"""Push notifications: receivers as A2A writes them, and the posts that tell them how a task stands."""

import json
import uuid
from typing import Any, Final

from a2a.types import AuthenticationInfo, StreamResponse, TaskPushNotificationConfig
from a2a.utils.errors import InvalidParamsError
from google.protobuf.json_format import MessageToDict

from contracts.destinations import Policy, Resolve, system_resolve
from tenant_runtime.doors.a2a.rows import TaskRows
from tenant_runtime.doors.a2a.tasks import task_render
from tenant_runtime.engine.serde.sealing import SealRefused
from tenant_runtime.runtime import Runtime
from tenant_runtime.webhooks.outbox import OutboxRows
from tenant_runtime.webhooks.pushes import PushConfig
from tenant_runtime.webhooks.sender import DeliveryFailed, Message, Sender, address_check

Row = dict[str, Any]
_ID_MOST: Final = 100
_OPENING_MOST: Final = 4096
_TOKEN_HEADER: Final = "X-A2A-Notification-Token"  # noqa: S105 - a name


def push_read(given: TaskPushNotificationConfig, *, policy: Policy) -> PushConfig:
    """As it is stored. Raises InvalidParamsError, and Invalid for a URL that nothing would be posted to."""
    address_check("url", given.url, policy=policy)
    own, opening = given.id or str(uuid.uuid4()), given.authentication
    texts = (given.token, opening.scheme, opening.credentials)
    if len(own) > _ID_MOST or "\x00" in own:
        raise InvalidParamsError(f"id: wanted up to {_ID_MOST} characters")
    if any(len(text) > _OPENING_MOST or not text.isprintable() or not text.isascii() for text in texts):
        raise InvalidParamsError("token and authentication: wanted printable ASCII, as headers take it")
    return PushConfig(own, given.url, given.token, opening.scheme, opening.credentials)


def push_shown(task_id: uuid.UUID, config: PushConfig) -> TaskPushNotificationConfig:
    """As it was given, without what opens the receiver's door."""
    shown = TaskPushNotificationConfig(id=config.id, task_id=str(task_id), url=config.url)
    if config.scheme:
        shown.authentication.CopyFrom(AuthenticationInfo(scheme=config.scheme))
    return shown


class Pushing(Sender):
    """Tells the receivers of a task how it stands when a turn of it is over: done, failed, canceled, or waiting."""

    def __init__(self, runtime: Runtime, *, resolve: Resolve = system_resolve) -> None:
        rows = OutboxRows(runtime.pool, "a2a_push_outbox")
        super().__init__(rows, policy=runtime.settings.webhook_policy, resolve=resolve)
        self._runtime = runtime

    async def message(self, row: Row) -> Message:
        runtime, task_id = self._runtime, row["task_id"]
        try:
            configs = await runtime.push_configs.of_task(task_id, row["config_id"])
        except SealRefused as refused:
            raise DeliveryFailed("The receiver's row was not written here.", final=True) from refused
        agent = await TaskRows.agent_of(runtime.pool, task_id)
        runs = await TaskRows(runtime.pool, owner=None, agent=agent).runs(str(task_id)) if agent else []
        if not configs or not runs:
            raise DeliveryFailed("The task or its receiver is gone.", final=True)
        task = await task_render(runtime, runs, None)
        [config] = configs
        headers = {_TOKEN_HEADER: config.token} if config.token else {}
        if config.scheme and config.credentials:
            headers["Authorization"] = f"{config.scheme} {config.credentials}"
        return Message(json.dumps(MessageToDict(StreamResponse(task=task))), headers)
