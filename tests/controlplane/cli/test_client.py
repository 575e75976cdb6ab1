"""Where the command line finds the API, and what it says when something else is there."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from controlplane.cli.client import Api, Credentials, api_root
from controlplane.cli.errors import CliError


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("https://freehold.example.com", "https://freehold.example.com/api/v1"),
        ("https://freehold.example.com/", "https://freehold.example.com/api/v1"),
        ("https://freehold.example.com/api/v1/", "https://freehold.example.com/api/v1"),
        ("https://example.com/freehold/api/v1", "https://example.com/freehold/api/v1"),
    ],
)
def test_a_host_alone_is_enough(given: str, wanted: str) -> None:
    assert api_root(given) == wanted


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """A server that sends everybody to its login page."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", "/account/login/")
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/tenants"
    server.shutdown()
    server.server_close()


def test_a_page_that_is_not_the_api_is_named(elsewhere: str) -> None:
    with pytest.raises(CliError, match="is not the API: it sends elsewhere") as told:
        Api(Credentials(elsewhere, "fh_key")).get("tenants")
    assert "/api/v1" in told.value.hint
    assert "fh_key" not in str(told.value)
