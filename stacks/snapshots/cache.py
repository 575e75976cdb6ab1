"""A tenant's Redis: read from its append-only file as of one moment, brought back beside the living keys.

The append-only file only grows, so what it held up to some byte is what Redis held at that moment: a throw-away
Redis loads that part, and the living one is neither asked nor held up.
"""

import base64
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import redis

from contracts.snapshot import StoreFile
from embedded.errors import EmbeddedError
from embedded.ports import free_port
from embedded.redis import RedisServer, redis_ready, redis_start, redis_stop, redis_url
from embedded.service_user import service_own
from stacks.providers.local.swap import CACHE_MARKER, CACHE_SIDE, cache_client
from stacks.providers.local.units import RedisUnit
from stacks.snapshots.errors import RestoreFailed, SnapshotFailed
from stacks.snapshots.progress import Progress
from stacks.snapshots.sealing import FRAME, SealedWriter, sealed_read

_READY_S: Final = 60.0
_BATCH: Final = 200
_AOF: Final = "appendonly.aof"
_STARTS: Final = 3

Record = dict[str, Any]


def cache_dump(unit: RedisUnit, path: Path, *, key: str, scratch: Path, progress: Progress) -> StoreFile:
    """Writes every key of the cache into one sealed file, as of one moment."""
    keys = 0
    try:
        with (
            _copy_of(unit, scratch / "cache-copy") as client,
            SealedWriter(path, key=key, name=path.name) as sealed,
        ):
            for record in _records(client, progress):
                sealed.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
                keys += 1
    except (redis.RedisError, EmbeddedError, OSError) as error:
        raise SnapshotFailed(f"The cache could not be read: {error}") from error
    return StoreFile(name=path.name, component="cache", bytes=sealed.bytes, sha256=sealed.sha256, items=keys)


def cache_load(
    client: "redis.Redis",
    path: Path,
    file: StoreFile,
    *,
    key: str,
    progress: Progress,
    rename: tuple[str, str] | None = None,
) -> int:
    """Brings the keys into the client's database; how many. Those whose time is up stay away.

    `rename` gives keys that begin with the first text the second one instead. RestoreFailed unless each key holds
    what it held.
    """
    loaded = 0
    seen = 0
    try:
        for batch in _batches(_lines(path, file, key=key)):
            progress.alive()
            seen += len(batch)
            loaded += _batch_load(client, batch, rename)
    except redis.RedisError as error:
        hint = " Give the cache more memory (override cache.max_memory_mb)." if "OOM" in str(error) else ""
        raise RestoreFailed(f"The cache could not be restored: {error}.{hint}") from error
    if seen != file.items:
        raise RestoreFailed(f"{file.name} holds {seen} keys, the manifest says {file.items}.")
    return loaded


@contextmanager
def cache_side(unit: RedisUnit) -> Iterator["redis.Redis"]:
    """The cache's second database, emptied: the restored keys wait there for the swap."""
    with client_of(unit, CACHE_SIDE) as client:
        client.flushdb()
        client.set(CACHE_MARKER, "1")
        yield client


@contextmanager
def client_of(unit: RedisUnit, database: int = 0) -> Iterator["redis.Redis"]:
    with cache_client(str(unit.computed()["url"]), database) as client:
        yield client


@contextmanager
def throwaway(folder: Path, *, max_memory_mb: int, content: Path | None = None) -> Iterator["redis.Redis"]:
    """A Redis of our own for a while, with the append-only file `content` in it. The caller removes the folder."""
    password = secrets.token_urlsafe(32)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = folder / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    service_own(data)
    if content is not None:
        content.rename(data / _AOF)
        service_own(data / _AOF)
    server, begun = _start(folder, data, password, max_memory_mb)
    try:
        redis_ready(server, password, _READY_S, identity=begun)
        with cache_client(redis_url(server, password), 0) as client:
            yield client
    finally:
        redis_stop(server, 2.0)


def _start(folder: Path, data: Path, password: str, max_memory_mb: int) -> tuple[RedisServer, Any]:
    for attempt in range(_STARTS):
        server = RedisServer(
            dir=data,
            port=free_port(),
            log_path=folder / "server.log",
            max_memory_mb=max_memory_mb,
            persist=True,
        )
        try:
            return server, redis_start(server, password=password)
        except EmbeddedError:  # somebody took the port between the question and its use
            if attempt == _STARTS - 1:
                raise
    raise AssertionError


@contextmanager
def _copy_of(unit: RedisUnit, folder: Path) -> Iterator["redis.Redis"]:
    """A throw-away Redis with what the unit's held a moment ago."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = folder / _AOF
    _prefix_copy(unit.server.dir / _AOF, content)
    with throwaway(folder, max_memory_mb=unit.inputs.max_memory_mb * 2, content=content) as client:
        yield client


def _prefix_copy(source: Path, target: Path) -> None:
    """Copies what the file holds now; a rewrite puts another file in its place and leaves this one whole."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with source.open("rb") as reading, os.fdopen(descriptor, "wb") as writing:
        left = os.fstat(reading.fileno()).st_size
        while left > 0 and (piece := reading.read(min(FRAME, left))):
            writing.write(piece)
            left -= len(piece)


def _records(client: Any, progress: Progress) -> Iterator[Record]:
    for name in client.scan_iter(count=1000):
        progress.alive()
        with client.pipeline(transaction=True) as pipe:
            pipe.pttl(name)
            pipe.dump(name)
            left_ms, dumped = pipe.execute()
        if dumped is None:  # its time was up just now
            continue
        yield {
            "key": base64.b64encode(name).decode(),
            "until": int(time.time() * 1000) + left_ms if left_ms >= 0 else None,
            "dump": base64.b64encode(dumped).decode(),
            "digest": value_digest(client, name),
        }


def value_digest(client: Any, name: bytes) -> str:
    """The same for the same content, whatever the server's encoding of it."""
    kind = client.type(name).decode()
    value: object = None
    if kind == "string":
        value = client.get(name)
    elif kind == "list":
        value = client.lrange(name, 0, -1)
    elif kind == "hash":
        value = sorted(client.hgetall(name).items())
    elif kind == "set":
        value = sorted(client.smembers(name))
    elif kind == "zset":
        value = client.zrange(name, 0, -1, withscores=True)
    elif kind == "stream":
        value = client.xrange(name)
    return hashlib.sha256(f"{kind}:{value!r}".encode()).hexdigest()


def _lines(path: Path, file: StoreFile, *, key: str) -> Iterator[Record]:
    rest = b""
    for piece in sealed_read(path, key=key, name=file.name):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield json.loads(line)


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for record in records:
        batch.append(record)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _batch_load(client: Any, batch: list[Record], rename: tuple[str, str] | None) -> int:
    # A key that ends within the next second could end between its arrival and the look at it.
    soon = int(time.time() * 1000) + 1000
    alive = [record for record in batch if record["until"] is None or record["until"] > soon]
    with client.pipeline(transaction=False) as pipe:
        for record in alive:
            pipe.restore(
                _name(record, rename),
                record["until"] or 0,
                base64.b64decode(record["dump"]),
                absttl=record["until"] is not None,
                replace=True,
            )
        pipe.execute()
    for record in alive:
        name = _name(record, rename)
        if value_digest(client, name) != record["digest"] and client.exists(name):
            raise RestoreFailed(f"The key {name[:80]!r} does not hold what it held.")
    return len(alive)


def _name(record: Record, rename: tuple[str, str] | None) -> bytes:
    name = base64.b64decode(record["key"])
    if rename is not None and name.startswith(rename[0].encode()):
        return rename[1].encode() + name[len(rename[0].encode()) :]
    return name
