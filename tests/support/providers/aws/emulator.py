"""`python -m tests.support.providers.aws.emulator PORT`: a moto server, with what gaps.py mends."""

import sys

from moto.server import main

from tests.support.providers.aws.gaps import server_repair

if __name__ == "__main__":
    server_repair()
    main(["-H", "127.0.0.1", "-p", sys.argv[1]])
