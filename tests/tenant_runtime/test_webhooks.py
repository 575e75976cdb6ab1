"""A run's end is posted to its webhook: once, signed, tried again within bounds, and nowhere inside."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from langgraph_sdk.errors import UnprocessableEntityError
from standardwebhooks.webhooks import Webhook

from tenant_runtime.errors import SettingsInvalid
from tenant_runtime.settings import settings_read
from tests.tenant_runtime.receiving import Receiver, receiver_started
from tests.tenant_runtime.support import RuntimeProcess, runtime_environment, runtime_started, wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#: The one before it, which receivers may still have.
EARLIER = "whsec_ZWFybGllci1zZWNyZXQtb2YtdGhlLXJ1bnRpbWU="


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiver_started() as found:
        yield found


@pytest.fixture(scope="module")
def database(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture(scope="module")
def hooking(
    tmp_path_factory: pytest.TempPathFactory, database: str, test_agents: Path
) -> Iterator[RuntimeProcess]:
    environment = runtime_environment(
        database,
        RUNTIME_WEBHOOK_SECRET=f"{SECRET},{EARLIER}",
        RUNTIME_WEBHOOK_HTTP="on",
        RUNTIME_WEBHOOK_PRIVATE="on",
    )
    with runtime_started(tmp_path_factory.mktemp("hooks"), environment, manifest=test_agents) as running:
        yield running


async def _ended(runtime: RuntimeProcess, receiver: Receiver, agent: str, **options: Any) -> dict[str, Any]:
    client = runtime.sdk()
    run = await client.runs.create(None, agent, webhook=receiver.url, **options)
    wait_until(lambda: receiver.of(run["run_id"]), 20, "the webhook")
    return dict(run)


async def test_the_end_of_a_run_is_posted_with_its_values(
    hooking: RuntimeProcess, receiver: Receiver
) -> None:
    run = await _ended(hooking, receiver, "slow", input={"steps": 2}, metadata={"order": 7})
    [(head, body)] = receiver.of(run["run_id"])
    raw = next(raw for _, raw in receiver.posts if json.loads(raw)["run_id"] == run["run_id"])
    for secret in (SECRET, EARLIER):
        Webhook(secret).verify(raw, head)
    assert (body["status"], body["metadata"], body["error"]) == ("success", {"order": 7}, None)
    assert body["values"]["messages"][-1]["content"] == "done after 2"
    assert body["thread_id"] == run["thread_id"]


async def test_failures_and_cancels_are_posted_too(hooking: RuntimeProcess, receiver: Receiver) -> None:
    failed = await _ended(hooking, receiver, "failing", input={"messages": []})
    [(_, body)] = receiver.of(failed["run_id"])
    assert (body["status"], body["error"]) == ("error", {"error": "ValueError", "message": "the reason"})
    client = hooking.sdk()
    waiting = await client.runs.create(None, "slow", input={}, after_seconds=600, webhook=receiver.url)
    await client.runs.cancel(waiting["thread_id"], waiting["run_id"])
    wait_until(lambda: receiver.of(waiting["run_id"]), 20, "the webhook of a canceled run")
    assert receiver.of(waiting["run_id"])[0][1]["status"] == "interrupted"


async def test_a_refused_post_is_tried_again_with_the_same_id(
    hooking: RuntimeProcess, receiver: Receiver, database: str
) -> None:
    receiver.statuses[:] = [503, 302]
    run = await _ended(hooking, receiver, "slow", input={"steps": 1})

    def hurry() -> bool:
        """The pauses are real ones: the test moves the clock of the message, not of the sender."""
        with psycopg.connect(database, autocommit=True) as conn:
            conn.execute(
                "UPDATE webhook_outbox SET next_at = now() WHERE run_id = %s AND error IS NOT NULL "
                "AND next_at < now() + interval '40 seconds'",
                [run["run_id"]],
            )
        return len(receiver.of(run["run_id"])) == 3

    wait_until(hurry, 30, "the third try")
    heads = [head for head, _ in receiver.of(run["run_id"])]
    assert len({head["webhook-id"] for head in heads}) == 1

    def settled() -> tuple[Any, ...] | None:
        with psycopg.connect(database) as conn:
            return conn.execute(
                "SELECT state, attempts FROM webhook_outbox WHERE run_id = %s AND settled_at IS NOT NULL",
                [run["run_id"]],
            ).fetchone()

    assert wait_until(settled, 10, "the message to be settled") == ("delivered", 3)


async def test_a_receiver_that_is_gone_is_asked_no_more(
    hooking: RuntimeProcess, receiver: Receiver, database: str
) -> None:
    receiver.statuses[:] = [410]
    run = await _ended(hooking, receiver, "slow", input={"steps": 1})

    def settled() -> tuple[Any, ...] | None:
        with psycopg.connect(database) as conn:
            return conn.execute(
                "SELECT state, attempts, error FROM webhook_outbox WHERE run_id = %s AND settled_at IS NOT NULL",
                [run["run_id"]],
            ).fetchone()

    assert wait_until(settled, 10, "it to be given up") == ("failed", 1, "127.0.0.1 answered 410.")


async def test_nothing_is_posted_inside(
    tmp_path: Path, new_database: Callable[[], str], test_agents: Path, receiver: Receiver
) -> None:
    url = new_database()
    environment = runtime_environment(url, RUNTIME_WEBHOOK_SECRET=SECRET)
    with runtime_started(tmp_path, environment, manifest=test_agents) as strict:
        client = strict.sdk()
        for refused in (
            receiver.url, "https://127.0.0.1/", "https://169.254.169.254/latest", "https://[::1]/", "ftp://x/",
            "https://user:password@example.com/", "no url",
        ):  # fmt: skip
            with pytest.raises(UnprocessableEntityError) as caught:
                await client.runs.create(None, "slow", input={}, webhook=refused)
            assert caught.value.code == "webhook_refused"
        # What a name leads to shows when it is posted to.
        run = await client.runs.create(None, "slow", input={"steps": 1}, webhook="https://localhost/hook")

        def error() -> str | None:
            with psycopg.connect(url) as conn:
                row = conn.execute(
                    "SELECT error FROM webhook_outbox WHERE run_id = %s", [run["run_id"]]
                ).fetchone()
            return row[0] if row else None

        assert "not a public address" in wait_until(error, 15, "the post to be refused")


def test_a_secret_is_one_of_standard_webhooks() -> None:
    given = {"RUNTIME_DATABASE_URL": "postgresql://u@h/d", "RUNTIME_API_KEY": "k" * 20}
    assert settings_read(given | {"RUNTIME_WEBHOOK_SECRET": SECRET}).webhook_secrets == (SECRET,)
    assert settings_read(given).webhook_secrets == ()
    two = settings_read(given | {"RUNTIME_WEBHOOK_SECRET": f"{SECRET},{EARLIER}"})
    assert two.webhook_secrets == (SECRET, EARLIER)
    for wrong in (f"{SECRET},short", "short", "whsec_AAAA", "whsec_!!!!", str(uuid.uuid4())):
        with pytest.raises(SettingsInvalid, match="RUNTIME_WEBHOOK_SECRET"):
            settings_read(given | {"RUNTIME_WEBHOOK_SECRET": wrong})
