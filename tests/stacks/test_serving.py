"""The executable of a stand-in provider: what an engine gets from it."""

import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import struct_pb2
from google.protobuf.json_format import ParseDict
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from tests.support.providers.serving import executable_write


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The executable started as the engine starts it; a signal must end it in order."""
    path = executable_write(tmp_path, name="pulumi-resource-echo", module="tests.stacks.echo_provider")
    errors = tmp_path / "stderr"
    with errors.open("w") as stderr:
        process = subprocess.Popen([path, "127.0.0.1:1"], stdout=subprocess.PIPE, stderr=stderr, text=True)
    assert process.stdout is not None
    yield int(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0, errors.read_text()
    process.stdout.close()


@pytest.fixture
async def stub(port: int) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)


async def create(stub: Any, wish: str) -> Any:
    properties = ParseDict({"wish": wish}, struct_pb2.Struct())
    request = provider_pb2.CreateRequest(urn="urn:pulumi:s::p::echo:index:Wish::w", properties=properties)
    return await stub.Create(request)


async def test_it_serves_and_can_be_attached_to(stub: Any) -> None:
    await stub.Attach(plugin_pb2.PluginAttach(address="127.0.0.1:1"))
    answer = await create(stub, "plain")
    assert (answer.id, answer.properties["echo"]) == ("echo", "heard")


async def test_failures_are_sentences(stub: Any, tmp_path: Path) -> None:
    said = {}
    for wish in ("refused", "quota", "surprise"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await create(stub, wish)
        said[wish] = caught.value.details()
    assert said == {
        "refused": "this wish is refused",
        "quota": "AWS says: the quota is used up",
        "surprise": "unexpected RuntimeError in the stand-in echo: nobody expected this",
    }
    # Only what nobody expected is worth a traceback.
    errors = (tmp_path / "stderr").read_text()
    assert "RuntimeError" in errors
    assert "Refused" not in errors


async def test_what_exists_but_is_not_ready_goes_into_the_state(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(stub, "half")
    assert caught.value.details() == "it waits"
    status = status_pb2.Status.FromString(dict(caught.value.trailing_metadata())["grpc-status-details-bin"])
    failed = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(failed)
    assert (failed.id, failed.properties["echo"], list(failed.reasons)) == ("echo", "faint", ["it waits"])


async def test_what_it_has_not_is_said(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Invoke(provider_pb2.InvokeRequest(tok="aws:index/getRegion:getRegion"))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "aws:index/getRegion:getRegion" in (caught.value.details() or "")
