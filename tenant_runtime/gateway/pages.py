"""The tool `read_page`: the text of a web page, from origins the operator has allowed and nowhere else.

The name is resolved once, each of its addresses must be public, and the connection goes to the checked address
(`contracts/destinations.py`). An origin whose host is written as an IP address is the operator's explicit word for that
address, private or not. Redirects are not followed: they could lead to where nobody has looked.
"""

import asyncio
import os
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from pydantic import Field

from contracts.destinations import AddressRefused, Destination, Policy, destination_of
from tenant_runtime.errors import ToolFailed
from tenant_runtime.gateway.tools import Arguments, Tool, ToolContext
from tenant_runtime.settings import PAGES_ALLOW, Reader, origin_of

READ_S: Final = 10.0
MOST_BYTES: Final = 512 * 1024
MOST_TEXT: Final = 20_000
_KINDS: Final = re.compile(r"^(?:text/(?:html|plain|markdown|csv)|application/(?:json|xhtml\+xml))\b", re.I)
_SILENT: Final = frozenset({"script", "style", "template", "noscript", "svg", "head"})
_BREAKS: Final = frozenset(
    {"p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article"}
)


class PageArguments(Arguments):
    url: str = Field(max_length=2000, description="Address of the page, https")


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in _SILENT
        if tag in _BREAKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT and self._silent:
            self._silent -= 1

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data)


def page_text(body: str, *, html: bool) -> str:
    """The words a reader would see, one block a line, bounded."""
    if html:
        parser = _Text()
        parser.feed(body)
        parser.close()
        body = "".join(parser.parts)
    lines = (" ".join(line.split()) for line in body.splitlines())
    return "\n".join(line for line in lines if line)[:MOST_TEXT]


def page_destination(url: str, *, environ: Mapping[str, str]) -> Destination:
    """Where an allowed URL leads; ToolFailed for one that is not allowed, or leads inside."""
    allowed = Reader(environ).origins(PAGES_ALLOW)
    origin = origin_of(url)
    if origin is None or origin not in allowed:
        raise ToolFailed(f"{origin or 'the address'} is not on {PAGES_ALLOW}", code="page_not_allowed")
    host = urlsplit(url).hostname or ""
    explicit = ":" in host or host.replace(".", "").isdecimal()
    try:
        return destination_of(url, policy=Policy(http=origin.startswith("http://"), private=explicit))
    except AddressRefused as refused:
        raise ToolFailed(f"{origin} {refused}", code="page_not_allowed") from refused


async def _get(destination: Destination) -> tuple[str, str]:
    """(content type, body) of a page that answers 200 with text."""
    headers = {
        "Host": destination.host_header,
        "User-Agent": "freehold-runtime",
        "Accept": "text/html, text/plain",
    }
    extensions = {"sni_hostname": destination.host} if destination.scheme == "https" else {}
    async with (
        httpx.AsyncClient(timeout=READ_S, trust_env=False, follow_redirects=False) as http,
        http.stream("GET", destination.url, headers=headers, extensions=extensions) as answer,
    ):
        if answer.is_redirect:
            raise ToolFailed("the page redirects, which is not followed", code="page_redirects")
        kind = answer.headers.get("content-type", "")
        if answer.status_code != 200:
            raise ToolFailed(f"the page answers {answer.status_code}", code="page_status")
        if not _KINDS.match(kind):
            raise ToolFailed("the page is no text", code="page_no_text")
        read = bytearray()
        async for chunk in answer.aiter_bytes():
            read += chunk
            if len(read) > MOST_BYTES:
                raise ToolFailed(f"the page is longer than {MOST_BYTES} bytes", code="page_too_long")
        return kind, bytes(read).decode(answer.charset_encoding or "utf-8", errors="replace")


async def _read_page(arguments: PageArguments, _: ToolContext) -> dict[str, Any]:
    destination = await asyncio.to_thread(page_destination, arguments.url, environ=os.environ)
    try:
        async with asyncio.timeout(READ_S):
            kind, body = await _get(destination)
    except (httpx.HTTPError, TimeoutError) as error:
        raise ToolFailed(
            f"the page cannot be read: {type(error).__name__}", code="page_unreachable"
        ) from error
    return {"url": arguments.url, "text": page_text(body, html="html" in kind.lower())}


READ_PAGE: Final = Tool(
    "read_page", "Reads the text of a web page at an address.", PageArguments, _read_page, READ_S + 5,
    read_only=True,
)  # fmt: skip
