"""What the stand-in keeps itself, for types and fields that moto has not: one SQLite file for all its processes."""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The environment variable that names the file.
STORE_VARIABLE = "STANDIN_AWS_STORE"
_BUSY_WAIT_S = 20.0


@dataclass(frozen=True)
class Store:
    path: Path

    @classmethod
    def from_environment(cls) -> "Store":
        return cls(Path(os.environ[STORE_VARIABLE]))

    def put(self, place: str, kind: str, name: str, values: dict[str, Any]) -> None:
        """`place` is an account and a region, as no name means anything without them."""
        with self._open() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO kept (place, kind, name, body) VALUES (?, ?, ?, ?)",
                (place, kind, name, json.dumps(values)),
            )

    def get(self, place: str, kind: str, name: str) -> dict[str, Any] | None:
        return self.all(place, kind).get(name)

    def all(self, place: str, kind: str) -> dict[str, dict[str, Any]]:
        with self._open() as connection:
            rows = connection.execute(
                "SELECT name, body FROM kept WHERE place = ? AND kind = ? ORDER BY name", (place, kind)
            )
            return {name: json.loads(body) for name, body in rows}

    def remove(self, place: str, kind: str, name: str) -> bool:
        with self._open() as connection:
            gone = connection.execute(
                "DELETE FROM kept WHERE place = ? AND kind = ? AND name = ?", (place, kind, name)
            )
            return gone.rowcount > 0

    def clear(self) -> None:
        with self._open() as connection:
            connection.execute("DELETE FROM kept")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=_BUSY_WAIT_S)) as connection, connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS kept"
                " (place TEXT, kind TEXT, name TEXT, body TEXT, PRIMARY KEY (place, kind, name))"
            )
            yield connection
