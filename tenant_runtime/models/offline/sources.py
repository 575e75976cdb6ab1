"""The block in which an agent hands sources to a model, and how the offline model reads it back.

<source id="1" path="guide/backup.md" title="Backups">
text
</source>
"""

import html
import re
from dataclasses import dataclass

_BLOCK = re.compile(
    r'<source id="(?P<id>\d+)" path="(?P<path>[^"]*)" title="(?P<title>[^"]*)">\n(?P<text>.*?)\n</source>',
    re.S,
)


@dataclass(frozen=True)
class Source:
    """`number` is what an answer cites as [number]."""

    number: int
    path: str
    title: str
    text: str


def source_render(source: Source) -> str:
    """The block. The text's own `</source>` is defused, so a document cannot pose as another source."""
    text = source.text.replace("</source", "<\u200b/source").replace("<source", "<\u200bsource")
    path, title = html.escape(source.path, quote=True), html.escape(source.title, quote=True)
    return f'<source id="{source.number}" path="{path}" title="{title}">\n{text}\n</source>'


def sources_parse(text: str) -> list[Source]:
    return [
        Source(int(found["id"]), html.unescape(found["path"]), html.unescape(found["title"]), found["text"])
        for found in _BLOCK.finditer(text)
    ]


def sources_strip(text: str) -> str:
    """The text without its source blocks: what the person or the agent itself said."""
    return _BLOCK.sub("", text).strip()
