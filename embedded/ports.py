"""TCP ports on the loopback interface."""

import socket

import psutil

from embedded.errors import PortTakenError

LOOPBACK = "127.0.0.1"


def port_is_free(port: int) -> bool:
    """True when a server could listen on 127.0.0.1:port now. A connection in TIME_WAIT does not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port the system just considered free. Another process may take it before it is used."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def free_block(start: int, stop: int, size: int) -> int:
    """The first port of the lowest run of `size` free ports within [start, stop). PortTakenError if none."""
    run = 0
    for port in range(start, stop):
        run = run + 1 if port_is_free(port) else 0
        if run == size:
            return port - size + 1
    raise PortTakenError(
        f"no {size} neighbouring free ports between {start} and {stop - 1}: end a program that listens "
        "there, or give another range"
    )


def port_holder(port: int) -> str:
    """Who listens on the port, for an error text: `pid 42 (redis-server)`, or `an unknown process`."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        connections = []
    for connection in connections:
        address = tuple(connection.laddr)
        if connection.status == psutil.CONN_LISTEN and connection.pid and address[1:2] == (port,):
            try:
                return f"pid {connection.pid} ({psutil.Process(connection.pid).name()})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return "an unknown process (of another user)"


def port_demand(port: int, purpose: str) -> None:
    """Raise PortTakenError, naming the holder, unless the port is free."""
    if not port_is_free(port):
        raise PortTakenError(
            f"port {port} on {LOOPBACK} is taken by {port_holder(port)}, so {purpose} cannot listen there: "
            "end that process or choose another port, then try again"
        )
