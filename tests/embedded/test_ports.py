import os
import socket
from collections.abc import Iterator

import pytest

from embedded.errors import PortTakenError
from embedded.ports import free_block, free_port, port_demand, port_is_free


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_is_not_free_and_its_holder_is_named(taken: int) -> None:
    assert not port_is_free(taken)
    with pytest.raises(PortTakenError, match=rf"port {taken} .* pid {os.getpid()} .*a test cannot listen"):
        port_demand(taken, "a test")


def test_a_block_skips_taken_ports(taken: int) -> None:
    first = free_block(taken - 1, min(taken + 200, 65536), 3)
    assert first > taken
    assert all(port_is_free(port) for port in range(first, first + 3))


def test_no_room_for_a_block_is_an_error(taken: int) -> None:
    with pytest.raises(PortTakenError, match="neighbouring"):
        free_block(taken, taken + 1, 1)


def test_a_free_port_is_free() -> None:
    assert port_is_free(free_port())
