"""Stands in for the tenant runtime: `python -m tests.stacks.standin_runtime serve --host H --port P`.

Answers `/ready`, `/pid`, and `/environment` with what it was started with, secrets' files read. It hands its socket
over as the runtime does; on SIGTERM it ends at once.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tenant_runtime.service.listener import Offer, listener_open, offer_path


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        seen = {
            name: Path(value).read_text() if name.endswith("_FILE") else value
            for name, value in os.environ.items()
        }
        answers = {"/environment": seen, "/pid": os.getpid(), "/ready": {}}
        self.send_response(200 if self.path in answers else 404)
        self.end_headers()
        self.wfile.write(json.dumps(answers.get(self.path)).encode())


if __name__ == "__main__":
    if "RUNTIME_DATABASE_URL_FILE" not in os.environ:
        sys.exit("RUNTIME_DATABASE_URL: found nothing")
    port = int(sys.argv[sys.argv.index("--port") + 1])
    state = Path(os.environ["RUNTIME_STATE_DIR"])
    old = os.environ.get("RUNTIME_PREDECESSOR")
    if os.environ.get("MODEL_NAME") == "broken":
        sys.exit("MODEL_NAME: broken")
    server = ThreadingHTTPServer(("127.0.0.1", port), Answers, bind_and_activate=False)
    server.socket.close()
    server.socket = listener_open("127.0.0.1", port, offer_path(state, int(old)) if old else None)
    Offer(server.socket, state)
    (state / "ready").write_text(str(os.getpid()))
    server.serve_forever()
