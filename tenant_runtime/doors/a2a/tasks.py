"""A task as A2A tells it, made of the runs that are its turns."""

import json
from typing import Any

from a2a.types import Artifact, Message, Task, TaskStatus

from tenant_runtime.doors.a2a.parts import agent_message, task_state, text_part, user_message
from tenant_runtime.doors.outcomes import Outcome, outcome_of
from tenant_runtime.engine.states import ACTIVE
from tenant_runtime.runtime import Runtime

Row = dict[str, Any]


async def task_render(runtime: Runtime, rows: list[Row], history: int | None) -> Task:
    """`rows` are the task's runs, oldest first (rows.py); `history` is how many messages are wanted, None: all."""
    task_id = rows[0]["task_id"]
    last = rows[-1]
    task = Task(id=task_id, context_id=str(last["thread_id"]))
    said: list[Message] = []
    for row in rows:
        said.append(user_message(row, json.loads(row["kwargs"]), task_id))
        if row["status"] in ACTIVE:
            continue
        outcome = await outcome_of(runtime, row)
        if row["status"] == "success" and not row["waiting"] and row is last:
            task.artifacts.append(answer_artifact(row, outcome.text))
        if row is last:
            task.status.CopyFrom(task_status(row, outcome, task_id))
    if last["status"] in ACTIVE:
        task.status.CopyFrom(task_status(last, None, task_id))
    task.history.extend(said if history is None else said[len(said) - min(history, len(said)) :])
    return task


def task_status(row: Row, outcome: Outcome | None, task_id: str) -> TaskStatus:
    waiting = outcome is not None and bool(outcome.interrupts)
    status = TaskStatus(state=task_state(row["status"], waiting=waiting))
    status.timestamp.FromDatetime(row["updated_at"])
    if outcome is not None and waiting:
        status.message.CopyFrom(agent_message(row, outcome.text, task_id))
    elif outcome is not None and outcome.error is not None:
        status.message.CopyFrom(agent_message(row, f"{outcome.error[0]}: {outcome.error[1]}", task_id))
    return status


def answer_artifact(row: Row, text: str) -> Artifact:
    return Artifact(artifact_id=f"{row['run_id']}-answer", name="answer", parts=[text_part(text)])
