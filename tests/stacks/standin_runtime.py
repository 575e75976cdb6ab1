"""Stands in for the tenant runtime: `python -m tests.stacks.standin_runtime serve --host H --port P`.

Answers `/ready`, and `/environment` with what it was started with, secrets' files read.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        seen = {
            name: Path(value).read_text() if name.endswith("_FILE") else value
            for name, value in os.environ.items()
        }
        body = json.dumps(seen).encode() if self.path == "/environment" else b"{}"
        self.send_response(200 if self.path in ("/ready", "/environment") else 404)
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    if "RUNTIME_DATABASE_URL_FILE" not in os.environ:
        sys.exit("RUNTIME_DATABASE_URL: found nothing")
    port = int(sys.argv[sys.argv.index("--port") + 1])
    ThreadingHTTPServer(("127.0.0.1", port), Answers).serve_forever()
