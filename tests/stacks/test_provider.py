"""The provider as the engine sees it: checks, differences and previews over gRPC. Nothing is created."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc
from pulumi.runtime.rpc import UNKNOWN

from stacks.providers.local.provider import LocalProvider
from stacks.providers.local.server import VERSION, LocalServicer

SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": "s3cret"}


@pytest.fixture
async def stub() -> AsyncIterator[Any]:
    server = grpc.aio.server()
    servicer = LocalServicer([], VERSION, LocalProvider(), engine_address="")
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)
    await server.stop(None)


def urn(resource_type: str) -> str:
    return f"urn:pulumi:s::p::freehold:local:Part$local:index:{resource_type}::name"


def struct(values: dict[str, Any]) -> struct_pb2.Struct:
    return ParseDict(values, struct_pb2.Struct())


def redis_inputs(**changes: Any) -> dict[str, Any]:
    return {
        "tenant": "acme",
        "component": "cache",
        "data_dir": "/srv/tenants/acme/cache",
        "port": 7000,
        "version": "6.2",
        "max_memory_mb": 64,
        "persist": True,
        **changes,
    }


async def check(
    stub: Any, resource_type: str, inputs: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    answer = await stub.Check(provider_pb2.CheckRequest(urn=urn(resource_type), news=struct(inputs)))
    return MessageToDict(answer.inputs), {failure.property: failure.reason for failure in answer.failures}


async def test_check_fills_in_defaults_and_keeps_secrets(stub: Any) -> None:
    given = {"tenant": "acme", "component": "runtime", "data_dir": "/srv/acme/runtime", "port": 7000}
    inputs, failures = await check(stub, "RuntimeProcess", {**given, "version": "1", "admin_key": SECRET})
    assert failures == {}
    assert inputs["module"] == "tenant_runtime"
    assert inputs["workers"] == 1
    assert inputs["admin_key"] == SECRET
    assert "usage_url" not in inputs


async def test_check_names_each_wrong_property_but_not_its_value(stub: Any) -> None:
    wrong = redis_inputs(port=80, max_memory_mb="lots", colour="red", data_dir="/srv/tenants/globex/cache")
    _, failures = await check(stub, "RedisServer", wrong)
    assert failures.keys() == {"port", "max_memory_mb", "colour", "data_dir"}
    assert "greater than or equal to 1024" in failures["port"]
    assert "acme" in failures["data_dir"]


async def test_check_waits_with_values_that_are_not_known_yet(stub: Any) -> None:
    _, failures = await check(stub, "RedisServer", redis_inputs(port=UNKNOWN))
    assert failures == {}


@pytest.mark.parametrize(
    ("state", "inputs", "changed", "replaces"),
    [
        ({}, {}, [], []),
        ({}, {"max_memory_mb": 128}, ["max_memory_mb"], []),
        ({}, {"data_dir": "/srv/tenants/acme/other"}, ["data_dir"], ["data_dir"]),
        ({"version": "6.0"}, {}, ["version"], ["version"]),
        ({"running": False}, {}, ["running"], []),
        ({"running": None}, {}, ["running"], []),
    ],
    ids=["same", "resize", "moved", "engine", "died", "adopted"],
)
async def test_differences(
    stub: Any, state: dict[str, Any], inputs: dict[str, Any], changed: list[str], replaces: list[str]
) -> None:
    answer = await stub.Diff(
        provider_pb2.DiffRequest(
            id="/srv/tenants/acme/cache",
            urn=urn("RedisServer"),
            olds=struct({**redis_inputs(), "running": True, "url": SECRET, **state}),
            news=struct(redis_inputs(**inputs)),
        )
    )
    some = provider_pb2.DiffResponse.DIFF_SOME
    assert answer.changes == (some if changed else provider_pb2.DiffResponse.DIFF_NONE)
    assert list(answer.diffs) == changed
    assert list(answer.replaces) == replaces
    assert answer.deleteBeforeReplace


async def test_a_preview_of_a_creation_makes_nothing(stub: Any, tmp_path: Path) -> None:
    inputs = redis_inputs(data_dir=str(tmp_path / "acme" / "cache"))
    answer = await stub.Create(
        provider_pb2.CreateRequest(urn=urn("RedisServer"), properties=struct(inputs), preview=True)
    )
    outputs = MessageToDict(answer.properties)
    assert outputs["url"] == UNKNOWN
    assert outputs["port"] == 7000
    assert os.listdir(tmp_path) == []


async def test_a_preview_of_a_restart_keeps_the_address_known(stub: Any) -> None:
    async def url_after(**changes: Any) -> Any:
        answer = await stub.Update(
            provider_pb2.UpdateRequest(
                id="/srv/tenants/acme/cache",
                urn=urn("RedisServer"),
                olds=struct({**redis_inputs(), "running": False, "url": SECRET, "password": SECRET}),
                news=struct(redis_inputs(**changes)),
                preview=True,
            )
        )
        outputs = MessageToDict(answer.properties)
        assert outputs["running"] is True
        return outputs["url"]

    assert await url_after(max_memory_mb=128) == SECRET
    assert (await url_after(port=7001))["value"] == UNKNOWN


async def test_an_unknown_type_is_answered_with_a_sentence(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Create(provider_pb2.CreateRequest(urn=urn("Mainframe"), properties=struct({})))
    assert str(caught.value.details()).startswith("the provider has no resource type local:index:Mainframe")


async def test_attach_and_cancel_are_answered(stub: Any) -> None:
    await stub.Attach(plugin_pb2.PluginAttach(address="127.0.0.1:1"))
    await stub.Cancel(empty_pb2.Empty())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetSchema(provider_pb2.GetSchemaRequest())
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
