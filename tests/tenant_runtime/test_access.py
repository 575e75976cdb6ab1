"""Who gets in: nobody without a key, each role where it belongs, and what every refusal looks like."""

import json

import psycopg
import pytest

from tests.tenant_runtime.support import ADMIN_KEY, API_KEY, RuntimeProcess

CLOSED = [
    ("POST", "/threads"),
    ("POST", "/threads/search"),
    ("POST", "/runs/wait"),
    ("POST", "/assistants/search"),
    ("POST", "/documents"),
    ("GET", "/info"),
    ("GET", "/metrics"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/no-such-path"),
    ("POST", "/admin/keys"),
    ("GET", "/admin/keys"),
    ("POST", "/admin/documents"),
    ("POST", "/admin/usage/flush"),
    ("GET", "/live/"),
    ("GET", "//live"),
]
STRANGERS = [
    "",
    "wrong-key-0123456789abcdef",
    "fhr_0123456789abcdef0123456789abcdef0123456789a",
    "' OR 1=1 --",
]


@pytest.mark.parametrize(("method", "path"), CLOSED)
@pytest.mark.parametrize("key", STRANGERS)
def test_strangers_get_401(runtime: RuntimeProcess, method: str, path: str, key: str) -> None:
    with runtime.http(None) as http:
        for headers in ({"x-api-key": key}, {"Authorization": f"Bearer {key}".strip()}):
            answer = http.request(method, path, headers=headers, json={})
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/problem+json"
            body = answer.json()
            assert {"type", "title", "status", "detail", "code"} <= set(body)
            assert body["code"] == "unauthenticated"


def test_live_and_ready_are_open(runtime: RuntimeProcess) -> None:
    with runtime.http(None) as http:
        assert http.get("/live").json() == {"status": "alive"}
        ready = http.get("/ready").json()
    assert ready["status"] == "ready"
    assert set(ready["checks"]) == {"database", "redis", "vector_store", "model"}


def test_roles_do_not_mix(runtime: RuntimeProcess) -> None:
    with runtime.http(API_KEY) as user, runtime.http(ADMIN_KEY) as admin:
        refused = user.get("/admin/keys")
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert admin.get("/admin/keys").status_code == 200
        assert admin.post("/threads", json={}).status_code == 200
        for caller in (user, admin):
            assert caller.get("/info").status_code == 200
            assert caller.get("/metrics").status_code == 200


def test_keys_are_shown_once_hashed_and_revocable(runtime: RuntimeProcess, runtime_database: str) -> None:
    with runtime.http(ADMIN_KEY) as admin:
        made = admin.post("/admin/keys", json={"name": "ci"})
        assert made.status_code == 201
        key = made.json()
        assert set(key) == {"id", "name", "prefix", "role", "user", "created_at", "expires_at", "api_key"}
        assert (key["role"], key["user"], key["expires_at"]) == ("user", None, None), "the least, for ever"
        assert key["api_key"].startswith(key["prefix"])
        assert admin.post("/admin/keys").status_code == 201
        listed = admin.get("/admin/keys").text
        assert key["id"] in listed
        assert key["api_key"] not in listed
        with runtime.http(None) as http:
            bearer = {"Authorization": f"Bearer {key['api_key']}"}
            assert http.post("/threads", json={}, headers=bearer).status_code == 200
            assert http.post("/threads", json={}, headers={"x-api-key": key["api_key"]}).status_code == 200
            assert admin.delete(f"/admin/keys/{key['id']}").status_code == 204
            assert http.post("/threads", json={}, headers=bearer).status_code == 401
        assert admin.delete(f"/admin/keys/{key['id']}").status_code == 404
    with psycopg.connect(runtime_database) as conn:
        stored = json.dumps(conn.execute("SELECT * FROM api_keys").fetchall(), default=str)
        audit = conn.execute(
            "SELECT actor, action FROM audit_log WHERE object = %s ORDER BY seq", [key["id"]]
        )
        assert audit.fetchall() == [("admin", "key.create"), ("admin", "key.revoke")]
    assert key["api_key"] not in stored
    assert key["api_key"] not in runtime.log.read_text()


def test_bad_requests_are_problems(runtime: RuntimeProcess) -> None:
    cases = [
        ("POST", "/threads", b"{bad", 400, "bad_json"),
        ("POST", "/threads", b'{"metadata": {"a": "\\u0000"}}', 422, "invalid"),
        ("POST", "/threads", b'{"thread_id": "x"}', 422, "invalid"),
        ("GET", "/threads/not-a-uuid", b"", 422, "invalid"),
        ("GET", "/threads/00000000-0000-0000-0000-000000000000", b"", 404, "thread_not_found"),
        ("POST", "/runs/wait", b'{"assistant_id": "nobody"}', 404, "assistant_not_found"),
        ("POST", "/runs/wait", b'{"assistant_id": "slow", "webhook": "http://x/"}', 422, "webhooks_disabled"),
        ("POST", "/runs/wait", b'{"assistant_id": "slow", "stream_mode": "nope"}', 422, "invalid"),
        ("PUT", "/threads", b"{}", 405, "method_not_allowed"),
        ("GET", "/nothing", b"", 404, "not_found"),
        ("POST", "/documents", b'{"documents": []}', 422, "invalid"),
    ]
    with runtime.http() as http:
        for method, path, body, status, code in cases:
            answer = http.request(method, path, content=body, headers={"Content-Type": "application/json"})
            assert (answer.status_code, answer.json()["code"]) == (status, code), (path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["x-request-id"]
        big = http.post("/documents", content=b"x" * (16 * 1024 * 1024 + 1))
        assert (big.status_code, big.json()["code"]) == (413, "too_large")


def test_no_message_content_in_the_log(runtime: RuntimeProcess) -> None:
    secret = "zanzibar-secret-phrase"
    with runtime.http() as http:
        body = {
            "assistant_id": "document_analyst",
            "input": {"messages": [{"role": "user", "content": secret}]},
        }
        assert http.post("/runs/wait", json=body).status_code == 200
    log = runtime.log.read_text()
    assert secret not in log
    assert API_KEY not in log
    assert ADMIN_KEY not in log
    assert all(json.loads(line)["level"] for line in log.splitlines())
