"""Long-term memory: documents cut, embedded and kept in the vector store; searched by meaning or read by path."""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from tenant_runtime.errors import DatabaseUnready, ModelFailed, Unavailable
from tenant_runtime.memory.chunks import chunks_cut
from tenant_runtime.memory.vector_store import VectorMatch, VectorRecord, VectorStore
from tenant_runtime.models.client import Embedded

log = logging.getLogger(__name__)

COLLECTION: Final = "documents"
EMBED_BATCH: Final = 64
#: For one try to open; and how long until the next.
OPEN_S: Final = 10.0
OPEN_PAUSE_S: Final = 0.5
OPEN_PAUSE_MAX_S: Final = 30.0
#: Embeds texts and meters the call; whoever calls knows on whose account.
Embed = Callable[[list[str]], Awaitable[Embedded]]


@dataclass(frozen=True)
class Document:
    path: str
    title: str
    text: str


@dataclass(frozen=True)
class Passage:
    """A chunk found. `number` is its place in the document."""

    path: str
    title: str
    heading: str
    number: int
    text: str
    score: float


@dataclass(frozen=True)
class IngestCounts:
    documents: int
    created: int
    updated: int
    unchanged: int
    chunks: int


def _passage(match: VectorMatch) -> Passage:
    fields = match.fields
    return Passage(
        fields["path"], fields["title"], fields["heading"], int(fields["number"]), match.text, match.score
    )


def _document_id(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:32]


class LongTermMemory:
    def __init__(self, store: VectorStore) -> None:
        self.store = store

        self._size: int | None = None
        self.missing: str | None = "it was not opened yet"
        """Why nothing can be kept or found now; None once the collection is there."""

    async def open(self, embed: Embed) -> bool:
        """Asks the embedding model for its size once and makes the collection to fit. False when the model or the
        store does not answer yet; DatabaseUnready when what is there does not fit."""
        try:
            async with asyncio.timeout(OPEN_S):
                if self._size is None:
                    self._size = len((await embed(["size"])).vectors[0])
                await self.store.ensure(COLLECTION, self._size)
        except (Unavailable, ModelFailed) as fault:
            self.missing = fault.detail
        except TimeoutError:
            self.missing = f"no answer within {OPEN_S:g} s"
        else:
            self.missing = None
            return True
        log.warning("long-term memory does not open yet", extra={"reason": self.missing})
        return False

    async def open_later(self, embed: Embed) -> None:
        """Tries until it is open: a model that loads, or a store that starts, need not hold the runtime up."""
        pause = OPEN_PAUSE_S
        while self.missing is not None:
            await asyncio.sleep(pause)
            pause = min(pause * 2, OPEN_PAUSE_MAX_S)
            try:
                await self.open(embed)
            except DatabaseUnready as unready:
                self.missing = unready.detail
                log.error("long-term memory does not fit", extra={"reason": unready.detail})

    async def health(self) -> str:
        """The store's own word; Unavailable while it does not answer, or is not open."""
        answered = await self.store.health()
        self._opened()
        return answered

    def _opened(self) -> None:
        if self.missing is not None:
            raise Unavailable(f"long-term memory is not open: {self.missing}", code="memory_not_open")

    async def ingest(self, documents: list[Document], embed: Embed) -> IngestCounts:
        """Stores documents; the same path with the same content costs nothing, with other content replaces."""
        self._opened()
        created = updated = unchanged = chunk_count = 0
        latest = {document.path: document for document in documents}
        for document in latest.values():
            digest = hashlib.sha256(f"{document.title}\0{document.text}".encode()).hexdigest()
            known = await self.store.fetch(COLLECTION, where={"path": document.path}, limit=1)
            first = known[0].fields if known else {"hash": "", "number": ""}
            if first["hash"] == digest and first["number"] == "0":
                unchanged += 1
                continue
            records = await self._records(document, digest, embed)
            # The first chunk comes last: while it is missing or old, the document counts as not written.
            await self.store.upsert(COLLECTION, records[1:])
            await self.store.upsert(COLLECTION, records[:1])
            if known:
                # Written first, removed after: a reader never finds the document missing. Chunks whose
                # number exists in the new version were overwritten, so only the surplus has the old hash.
                if first["hash"] != digest:
                    await self.store.delete(COLLECTION, where={"path": document.path, "hash": first["hash"]})
                updated += 1
            else:
                created += 1
            chunk_count += len(records)
        return IngestCounts(len(latest), created, updated, unchanged, chunk_count)

    async def _records(self, document: Document, digest: str, embed: Embed) -> list[VectorRecord]:
        chunks = chunks_cut(document.text)
        records: list[VectorRecord] = []
        for start in range(0, len(chunks), EMBED_BATCH):
            batch = chunks[start : start + EMBED_BATCH]
            done = await embed([f"{document.title}. {chunk.heading}. {chunk.text}" for chunk in batch])
            for chunk, vector in zip(batch, done.vectors, strict=True):
                fields = {
                    "path": document.path, "title": document.title, "heading": chunk.heading,
                    "number": str(chunk.number), "hash": digest, "count": str(len(chunks)),
                }  # fmt: skip
                id_ = f"{_document_id(document.path)}:{chunk.number:06d}"
                records.append(VectorRecord(id_, vector, chunk.text, fields))
        return records

    async def search(self, query: str, embed: Embed, *, limit: int = 6) -> list[Passage]:
        self._opened()
        vector = (await embed([query])).vectors[0]
        matches = await self.store.query(COLLECTION, vector, limit=limit)
        return [_passage(match) for match in matches if match.score > 0.0]

    async def read(self, path: str, *, limit: int = 400) -> list[Passage]:
        """The whole document in reading order; empty when there is none at that path."""
        return [
            _passage(match) for match in await self.store.fetch(COLLECTION, where={"path": path}, limit=limit)
        ]

    async def remove(self, path: str) -> int:
        return await self.store.delete(COLLECTION, where={"path": path})
