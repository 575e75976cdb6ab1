"""What clients rely on below the methods: ids and resumption, headers, other protocols' paths, people in the store."""

import json
import time
import uuid
from typing import Any

import httpx

from tests.tenant_runtime.access.routes import routes
from tests.tenant_runtime.support import ADMIN_KEY, RuntimeProcess

CUTS = 50


def _events(response: httpx.Response, most: int) -> list[tuple[int, str, Any]]:
    """At most so many events with an id; then the line is cut."""
    found: list[tuple[int, str, Any]] = []
    part: dict[str, str] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            part[name] = value
            continue
        if "id" in part:
            found.append((int(part["id"]), part["event"], json.loads(part["data"])))
        part = {}
        if len(found) == most:
            break
    return found


def test_a_client_that_is_cut_off_fifty_times_sees_each_event_once(runtime: RuntimeProcess) -> None:
    with runtime.http() as http:
        thread = http.post("/threads", json={}).json()["thread_id"]
        body = {
            "assistant_id": "slow", "input": {"steps": 48, "delay": 0.02}, "stream_mode": ["custom", "updates"],
        }  # fmt: skip
        run = http.post(f"/threads/{thread}/runs", json=body).json()["run_id"]
        seen: list[tuple[int, str, Any]] = []
        for cut in range(CUTS):
            headers = {"Last-Event-ID": str(seen[-1][0])} if seen else {}
            path = f"/threads/{thread}/runs/{run}/stream"
            with http.stream("GET", path, headers=headers) as response:
                assert response.headers["Location"] == path
                assert response.headers["Content-Location"] == path.removesuffix("/stream")
                seen += _events(response, 1 + cut % 3 if cut < CUTS - 1 else 10_000)
        ids = [id_ for id_, _, _ in seen]
        assert ids == sorted(set(ids)), "each once, in order"
        assert [data["step"] for _, event, data in seen if event == "custom"] == list(range(1, 49))
        assert (seen[0][1], seen[-1][1]) == ("metadata", "end")
        with http.stream("GET", f"/threads/{thread}/runs/{run}/stream") as response:
            assert _events(response, 10_000) == seen, "cut or not, it is the same"


def test_headers_of_answers(runtime: RuntimeProcess) -> None:
    with runtime.http() as http:
        case = {"metadata": {"case": uuid.uuid4().hex}}
        threads = [http.post("/threads", json=case).json()["thread_id"] for _ in range(3)]
        page = http.post("/threads/search", json={**case, "limit": 2})
        assert page.headers["X-Pagination-Next"] == "2"
        rest = http.post("/threads/search", json={**case, "limit": 2, "offset": 2})
        assert "X-Pagination-Next" not in rest.headers
        assert {row["thread_id"] for row in page.json() + rest.json()} == set(threads)
        run = {"assistant_id": "slow", "input": {"steps": 1}}
        made = http.post(f"/threads/{threads[0]}/runs", json=run)
        place = f"/threads/{threads[0]}/runs/{made.json()['run_id']}"
        assert made.headers["Content-Location"] == place
        waited = http.post(f"/threads/{threads[0]}/runs/wait", json=run)
        assert waited.headers["Location"] == waited.headers["Content-Location"] + "/join"
        minimal = http.patch(
            f"/threads/{threads[0]}", json={"metadata": {"a": 1}}, headers={"Prefer": "return=minimal"}
        )
        assert (minimal.status_code, minimal.content) == (204, b"")
        assert http.get(f"/threads/{threads[0]}").json()["metadata"]["a"] == 1


def test_a_nested_threads_state_shows_its_parts(runtime: RuntimeProcess) -> None:
    with runtime.http() as http:
        thread = http.post("/threads", json={}).json()["thread_id"]
        run = {"assistant_id": "nested", "input": {"said": "x"}, "interrupt_before": ["outer"]}
        http.post(f"/threads/{thread}/runs/wait", json=run).raise_for_status()
        state = http.get(f"/threads/{thread}/state", params={"subgraphs": "true"}).json()
        assert state["next"] == ["outer"]
        only = http.get(f"/threads/{thread}/state", params={"select": ["next"]}).json()
        assert only == {"next": ["outer"]}


def test_agent_protocol_paths(runtime: RuntimeProcess) -> None:
    with runtime.http() as http:
        found = http.post("/agents/search", json={"name": "slow"}).json()
        agent = next(row for row in found if row["name"] == "slow")
        assert http.get(f"/agents/{agent['agent_id']}").json() == agent
        schemas = http.get(f"/agents/{agent['agent_id']}/schemas").json()
        assert schemas["agent_id"] == agent["agent_id"]
        assert "steps" in schemas["input_schema"]["properties"]
        marked = {"metadata": {"case": uuid.uuid4().hex}}
        run = http.post("/runs", json={"agent_id": agent["agent_id"], "input": {"steps": 2}, **marked}).json()
        path = f"/runs/{run['run_id']}"
        assert http.get(f"{path}/wait").json()["messages"][-1]["content"] == "done after 2"
        assert http.get(path).json()["status"] == "success"
        assert [row["run_id"] for row in http.post("/runs/search", json=marked).json()] == [run["run_id"]]
        assert http.post("/runs/search", json={**marked, "status": "error"}).json() == []
        with http.stream("GET", f"{path}/stream") as response:
            events = _events(response, 10_000)
        assert events[-1][1] == "end"
        after = {"Last-Event-ID": str(events[-2][0])}
        with http.stream("GET", f"{path}/stream", headers=after) as response:
            assert _events(response, 10_000) == events[-1:]
        assert http.post(f"{path}/cancel").status_code == 404, "it is over"
        long = http.post("/runs", json={"agent_id": "slow", "input": {"steps": 400, "delay": 0.1}}).json()
        assert http.post(f"/runs/{long['run_id']}/cancel", params={"wait": "true"}).status_code == 204
        assert http.get(f"/runs/{long['run_id']}").json()["status"] == "interrupted"
        assert http.delete(path).status_code == 204
        assert http.get(path).status_code == 404
        thread = run["thread_id"]
        assert isinstance(http.get(f"/threads/{thread}/history", params={"limit": 2}).json(), list)


def test_people_in_the_store_do_not_meet(runtime: RuntimeProcess) -> None:
    with runtime.http(ADMIN_KEY) as admin:
        keys = [admin.post("/admin/keys", json={"role": "user"}).json()["api_key"] for _ in range(2)]
    place = {"namespace": [f"shared-{uuid.uuid4().hex}", "notes"], "key": "n"}
    query = {"namespace": ".".join(place["namespace"]), "key": "n"}
    with runtime.http(keys[0]) as ada, runtime.http(keys[1]) as bob, runtime.http() as operator:
        ada.put("/store/items", json={**place, "value": {"by": "ada", "text": "rain"}, "index": ["text"]})
        assert bob.get("/store/items", params=query).status_code == 404
        assert bob.request("DELETE", "/store/items", json=place).status_code == 404
        search = {"namespace_prefix": place["namespace"], "query": "rain"}
        assert bob.post("/store/items/search", json=search).json() == {"items": []}
        bob.put("/store/items", json={**place, "value": {"by": "bob"}}).raise_for_status()
        assert ada.get("/store/items", params=query).json()["value"]["by"] == "ada"
        assert bob.get("/store/items", params=query).json()["value"] == {"by": "bob"}
        both = operator.post("/store/items/search", json={"namespace_prefix": place["namespace"]}).json()[
            "items"
        ]
        assert {item["value"]["by"] for item in both} == {"ada", "bob"}
        assert [
            item["value"]["by"] for item in ada.post("/store/items/search", json=search).json()["items"]
        ] == ["ada"]
        for wrong in (
            {**place, "namespace": []}, {**place, "namespace": ["a.b"]}, {**place, "key": ""},
            {**place, "namespace": [""]},
        ):  # fmt: skip
            assert ada.put("/store/items", json={**wrong, "value": {}}).status_code == 422
        bad = {"namespace_prefix": place["namespace"], "filter": {"by": {"$like": "a"}}}
        assert ada.post("/store/items/search", json=bad).status_code == 422
        sly = {"namespace_prefix": place["namespace"], "filter": {"by') OR true --": "x"}}
        assert ada.post("/store/items/search", json=sly).json() == {"items": []}


def test_an_items_time_ends(runtime: RuntimeProcess) -> None:
    place = {"namespace": [f"short-{uuid.uuid4().hex}"], "key": "k"}
    with runtime.http() as http:
        http.put("/store/items", json={**place, "value": {"a": 1}, "ttl": 0.02}).raise_for_status()
        query = {"namespace": place["namespace"][0], "key": "k", "refresh_ttl": "false"}
        assert http.get("/store/items", params=query).status_code == 200
        time.sleep(1.5)
        assert http.get("/store/items", params=query).status_code == 404
        assert http.post("/store/namespaces", json={"prefix": place["namespace"]}).json() == {
            "namespaces": []
        }


def test_the_openapi_document_names_every_path(runtime: RuntimeProcess) -> None:
    with runtime.http(None) as http:
        assert http.get("/openapi.json").status_code == 401
    with runtime.http() as http:
        document = http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    described = {(method.upper(), path) for path, ways in document["paths"].items() for method in ways}
    ours = ("/assistants", "/threads", "/runs", "/store", "/agents")
    served = {place for place in routes() if place[1].startswith(ours)}
    assert len(served) > 60
    assert not served - described
    wait = document["paths"]["/runs/wait"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert wait == {"$ref": "#/components/schemas/RunRequest"}
    assert {"input", "webhook", "multitask_strategy"} <= document["components"]["schemas"]["RunRequest"][
        "properties"
    ].keys()
