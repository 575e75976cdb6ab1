"""Starts the processes that are to be killed: loads Django and the product once, and forks a fresh one in milliseconds.

`python -m tests.billing.crash.forker` takes commands as lines of JSON on stdin and answers each with a line on stdout:
`{"listen": true}` with the port of a socket that all its children share (what connects while none of them lives
waits for the next), and `{"role": …}` with the pid of a child in that role (roles.py). It ends with its stdin, and
its children with it.
"""

import ctypes
import json
import os
import random
import signal
import socket
import sys
import traceback
from typing import Any

import django


def main() -> None:
    django.setup()
    from tests.billing.crash import roles

    roles.preload()
    sockets: dict[int, socket.socket] = {}
    # Nobody waits for the killed ones.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        command = json.loads(line)
        if command.get("listen"):
            made = socket.create_server(("127.0.0.1", 0), backlog=128)
            sockets[made.getsockname()[1]] = made
            print(made.getsockname()[1], flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            _child(command, sockets)
        print(pid, flush=True)


def _child(command: dict[str, Any], sockets: dict[int, socket.socket]) -> None:
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _die_with_parent()
        log = os.open(command["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        random.seed()
        from tests.billing.crash import roles

        roles.play(command, sockets)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _die_with_parent() -> None:
    """Whoever ends the forker, even by SIGKILL, ends what it forked: Linux's PR_SET_PDEATHSIG."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


if __name__ == "__main__":
    main()
