"""Long-term memory over HTTP and in the store, and a runtime whose database role is an ordinary one."""

import uuid
from pathlib import Path

import psycopg

from embedded.databases import database_ensure
from embedded.postgres import postgres_url
from tests.support.services import RunningPostgres
from tests.tenant_runtime.support import ADMIN_KEY, RuntimeProcess, runtime_environment, runtime_started


async def test_ingest_is_idempotent_and_replaces(runtime: RuntimeProcess) -> None:
    path = f"notes/{uuid.uuid4().hex}.md"
    long = {
        "path": path,
        "title": "Fees",
        "text": "\n\n".join(f"## Part {n}\n\nThe quxfee is {n} crowns." for n in range(9)),
    }
    first = runtime.ingest(long)
    assert (first["created"], first["updated"], first["unchanged"], first["chunks"]) == (1, 0, 0, 9)
    again = runtime.ingest(long)
    assert (again["created"], again["unchanged"], again["chunks"]) == (0, 1, 0)
    changed = runtime.ingest({"path": path, "title": "Fees", "text": "The quxfee was abolished."})
    assert (changed["updated"], changed["chunks"]) == (1, 1)
    question = {"messages": [{"role": "user", "content": "What is the quxfee?"}]}
    values = await runtime.sdk().runs.wait(None, "document_analyst", input=question)
    assert "abolished" in values["answer"]
    assert "crowns" not in values["answer"]


async def test_the_admin_ingests_too(runtime: RuntimeProcess) -> None:
    document = {"path": f"admin/{uuid.uuid4().hex}.md", "text": "Zyzzyva is the last word."}
    with runtime.http(ADMIN_KEY) as admin:
        assert admin.post("/admin/documents", json=[document]).json()["created"] == 1


async def test_an_ordinary_role_and_a_vector_store_of_its_own(
    tmp_path: Path, postgres_server: RunningPostgres
) -> None:
    """As the stack deploys it: neither role is a superuser, and the two databases are apart."""
    names = [f"rt_{uuid.uuid4().hex[:10]}" for _ in range(2)]
    urls = []
    for name, extensions in zip(names, ((), ("vector",)), strict=True):
        database_ensure(
            postgres_server.server, postgres_server.password, database=name, owner=name,
            owner_password="role-password-1", extensions=extensions,
        )  # fmt: skip
        urls.append(postgres_url(postgres_server.server, "role-password-1", name, user=name))
    with runtime_started(tmp_path, runtime_environment(urls[0], RUNTIME_VECTOR_URL=urls[1])) as runtime:
        assert runtime.ingest({"path": "a", "text": "Ordinary roles suffice."})["created"] == 1
        question = {"messages": [{"role": "user", "content": "Do ordinary roles suffice?"}]}
        values = await runtime.sdk().runs.wait(None, "document_analyst", input=question)
        assert "suffice" in values["answer"]
    with psycopg.connect(urls[0]) as conn:
        rows = conn.execute("SELECT id FROM usage_outbox WHERE id LIKE 'storage:%'").fetchall()
    assert {row[0].split(":")[1] for row in rows} == {"postgres", "vector_store"}


def test_a_server_without_the_extension_refuses_the_start(
    tmp_path: Path, postgres_server: RunningPostgres
) -> None:
    import subprocess
    import sys

    name = f"rt_{uuid.uuid4().hex[:10]}"
    database_ensure(
        postgres_server.server, postgres_server.password, database=name, owner=name,
        owner_password="role-password-1",
    )  # fmt: skip
    url = postgres_url(postgres_server.server, "role-password-1", name, user=name)
    argv = [sys.executable, "-m", "tenant_runtime", "serve", "--port", "1"]
    done = subprocess.run(
        argv, env=runtime_environment(url), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert "RUNTIME_VECTOR_URL: found" in done.stderr.splitlines()[-1]
    assert "role-password-1" not in done.stderr
