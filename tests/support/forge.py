"""A stand-in for the comments of GitHub and GitLab: the few paths a CI job uses, with their pages and refusals.

The real ones cannot be had here. Paths, verbs, headers and the Link header follow their REST references; a page has
two rows, so that a test sees whether a client reads on.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGE = 2


@dataclass
class Forge:
    url: str = ""
    comments: list[dict[str, Any]] = field(default_factory=list)
    #: (verb, path) of every request, and what is answered instead to the next ones.
    calls: list[tuple[str, str]] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    token: str = "forge-token"

    def comment_add(self, body: str) -> int:
        self.comments.append({"id": 100 + len(self.comments), "body": body})
        return int(self.comments[-1]["id"])

    def github(self, event_path: str) -> dict[str, str]:
        """The variables of a job of a pull request with the number 7."""
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.url,
            "GITHUB_REPOSITORY": "northwind/platform",
            "GITHUB_EVENT_PATH": event_path,
            "GITHUB_TOKEN": self.token,
        }

    def gitlab(self) -> dict[str, str]:
        return {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": self.url,
            "CI_PROJECT_ID": "11",
            "CI_MERGE_REQUEST_IID": "7",
            "GITLAB_TOKEN": self.token,
        }


_LISTS = ("/repos/northwind/platform/issues/7/comments", "/projects/11/merge_requests/7/notes")
_ONE = re.compile(
    r"^(?:/repos/northwind/platform/issues/comments|/projects/11/merge_requests/7/notes)/(\d+)$"
)


@contextmanager
def forge_serving() -> Iterator[Forge]:
    forge = Forge()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def answer(self, status: int, body: Any, **headers: str) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def handle_any(self) -> None:
            path, _, query = self.path.partition("?")
            forge.calls.append((self.command, path))
            length = int(self.headers.get("Content-Length") or 0)
            sent = json.loads(self.rfile.read(length) or b"null")
            told = (
                self.headers.get("Authorization", "").removeprefix("Bearer "),
                self.headers.get("PRIVATE-TOKEN"),
            )
            if forge.failures:
                self.answer(forge.failures.pop(0), {"message": "not now"})
            elif forge.token not in told:
                self.answer(401, {"message": "Bad credentials"})
            elif path in _LISTS and self.command == "GET":
                number = int((re.search(r"\bpage=(\d+)", query) or [0, "1"])[1])
                rows = forge.comments[(number - 1) * PAGE : number * PAGE]
                more = f'<{forge.url}{path}?per_page=100&page={number + 1}>; rel="next"'
                self.answer(200, rows, **({"Link": more} if number * PAGE < len(forge.comments) else {}))
            elif path in _LISTS and self.command == "POST":
                self.answer(201, {"id": forge.comment_add(sent["body"])})
            elif (one := _ONE.match(path)) and self.command == ("PATCH" if "/issues/" in path else "PUT"):
                (comment,) = [each for each in forge.comments if each["id"] == int(one.group(1))]
                comment["body"] = sent["body"]
                self.answer(200, comment)
            else:
                self.answer(404, {"message": "Not Found"})

        do_GET = do_POST = do_PATCH = do_PUT = handle_any

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    forge.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield forge
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()
