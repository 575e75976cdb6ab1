"""Typed readers of the environment.

Every setting is declared once, through a reader, and so lands in one table (`freehold doctor`,
docs/configuration.md). A secret may also come from a file named by NAME_FILE. Bad values are collected and
stop the start together, each with its name, what was found and what is wanted; a secret's value is never
repeated.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")


class ConfigurationError(Exception):
    """One or more settings are missing or malformed; the operator must act."""


@dataclass(frozen=True)
class Setting:
    """A row of the configuration table."""

    name: str
    kind: str
    default: str
    help: str
    secret: bool = False


@dataclass
class Environment:
    """Reads settings from `source` and remembers what was asked for and what was wrong."""

    source: Mapping[str, str] = field(default_factory=lambda: os.environ)
    settings: list[Setting] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def text(self, name: str, help: str, *, default: str | None = None) -> str:
        return self._read(name, "text", help, default, lambda raw: raw)

    def choice(self, name: str, help: str, *, choices: tuple[str, ...], default: str) -> str:
        def parse(raw: str) -> str:
            if raw not in choices:
                raise ValueError(f"one of {', '.join(choices)}")
            return raw

        return self._read(name, "|".join(choices), help, default, parse)

    def integer(self, name: str, help: str, *, default: int, low: int, high: int) -> int:
        def parse(raw: str) -> int:
            wanted = f"a whole number from {low} to {high}"
            if not raw.strip().lstrip("-").isdigit():
                raise ValueError(wanted)
            if not low <= int(raw) <= high:
                raise ValueError(wanted)
            return int(raw)

        return int(self._read(name, f"integer {low}-{high}", help, str(default), parse))

    def boolean(self, name: str, help: str, *, default: bool) -> bool:
        words = {"1": True, "true": True, "yes": True, "on": True}
        words |= {"0": False, "false": False, "no": False, "off": False}

        def parse(raw: str) -> bool:
            if raw.strip().lower() not in words:
                raise ValueError("true or false")
            return words[raw.strip().lower()]

        return bool(self._read(name, "boolean", help, "true" if default else "false", parse))

    def listing(self, name: str, help: str, *, default: str) -> list[str]:
        return self._read(
            name,
            "comma-separated list",
            help,
            default,
            lambda raw: [p.strip() for p in raw.split(",") if p.strip()],
        )

    def limits(self, name: str, help: str) -> dict[str, int]:
        """Counts by name: `aws=8,local=4`; none when empty."""

        def parse(raw: str) -> dict[str, int]:
            pairs = [pair.strip().partition("=") for pair in raw.split(",") if pair.strip()]
            if not all(key and value.isdigit() and int(value) > 0 for key, _, value in pairs):
                raise ValueError("names with counts from 1, such as aws=8,local=4")
            return {key: int(value) for key, _, value in pairs}

        return self._read(name, "name=count, ...", help, "", parse)

    def path(self, name: str, help: str, *, default: Path) -> Path:
        return self._read(name, "path", help, str(default), lambda raw: Path(raw).expanduser().absolute())

    def paths(self, name: str, help: str) -> list[Path]:
        """Files that must be there when the process starts; none when empty."""

        def parse(raw: str) -> list[Path]:
            found = [Path(part.strip()).expanduser().absolute() for part in raw.split(",") if part.strip()]
            missing = [str(path) for path in found if not path.is_file()]
            if missing:
                raise ValueError(f"files that exist ({', '.join(missing)} does not)")
            return found

        return self._read(name, "comma-separated files", help, "", parse)

    def document(self, name: str, help: str, *, read: Callable[[Path | None], T]) -> T:
        """What `read` makes of the file that is named, and of None when none is. Its ValueError says what is wrong
        in which file, for it is not the name of the file that does not fit."""
        self.settings.append(Setting(name, "file", "", help))
        raw = self.source.get(name, "").strip()
        try:
            return read(Path(raw).expanduser().absolute() if raw else None)
        except ValueError as error:
            self.problems.append(f"{name}: {error}")
            return read(None)

    def url(
        self,
        name: str,
        help: str,
        *,
        schemes: tuple[str, ...],
        default: str | None = None,
        default_file: Path | None = None,
        secret: bool = True,
    ) -> str:
        """A URL, which may hold a password: never repeated in an error, and read from NAME_FILE too."""

        def parse(raw: str) -> str:
            if raw and urlsplit(raw).scheme not in schemes:
                raise ValueError(f"a URL that begins with {' or '.join(s + '://' for s in schemes)}")
            return raw

        return self._secret(name, "url", help, default, default_file, parse, secret=secret)

    def secret(
        self,
        name: str,
        help: str,
        *,
        default: str | None = None,
        default_file: Path | None = None,
        min_length: int = 0,
    ) -> str:
        def parse(raw: str) -> str:
            if raw and len(raw) < min_length:
                raise ValueError(f"at least {min_length} characters")
            return raw

        return self._secret(name, "secret", help, default, default_file, parse)

    def require(self) -> None:
        """Raises ConfigurationError naming every problem found so far."""
        if self.problems:
            raise ConfigurationError(
                "Freehold cannot start:\n" + "\n".join(f"  - {p}" for p in self.problems)
            )

    def _secret(
        self,
        name: str,
        kind: str,
        help: str,
        default: str | None,
        default_file: Path | None,
        parse: Callable[[str], str],
        *,
        secret: bool = True,
    ) -> str:
        shown = "" if default is None else default
        if default_file is not None:
            shown = f"written by `freehold up` to {default_file.parent.name}/{default_file.name}"
        self.settings.append(Setting(name, f"{kind}, or {name}_FILE", shown, help, secret=secret))
        raw = self.source.get(name)
        file_name = self.source.get(f"{name}_FILE")
        if raw is None and file_name:
            try:
                raw = Path(file_name).read_text(encoding="utf-8").strip()
            except OSError as error:
                self.problems.append(
                    f"{name}_FILE: cannot read {file_name!r} ({error.strerror}); wanted a readable file"
                )
                return ""
        if raw is None and default_file is not None and default_file.is_file():
            raw = default_file.read_text(encoding="utf-8").strip()
        if raw is None:
            raw = default
        if raw is None:
            self.problems.append(
                f"{name}: not set; wanted {kind} ({help}), in {name} or in a file named by {name}_FILE"
            )
            return ""
        try:
            return parse(raw)
        except ValueError as error:
            self.problems.append(f"{name}: the value given does not fit; wanted {error}")
            return ""

    def _read(self, name: str, kind: str, help: str, default: str | None, parse: Callable[[str], T]) -> T:
        self.settings.append(Setting(name, kind, default or "", help))
        raw = self.source.get(name, default)
        if raw is None:
            self.problems.append(f"{name}: not set; wanted {kind} ({help})")
            return parse("0") if kind.startswith("integer") else parse("")
        try:
            return parse(raw)
        except ValueError as error:
            self.problems.append(f"{name}: found {raw!r}; wanted {error}")
            # The start is refused by require(); the default only lets the remaining settings be read.
            return parse(default) if default is not None else parse("")
