"""Looking for secrets wherever a running Freehold could have left one: files, tables, Redis, processes, answers.

Every scan returns a line for each finding that names the place and the secret's label, never the secret.
"""

import base64
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import httpx
import psutil
import redis

from embedded.postgres import postgres_binary
from embedded.processes import MARK_VARIABLE

#: Files that are there to hold secrets, below FREEHOLD_HOME. Each must be readable by its owner alone.
DESIGNATED = (
    re.compile(r"secrets/[^/]+"),
    re.compile(r"secrets/environment/[^/]+"),
    re.compile(r"up\.json"),
    # The runtime keys that the command line was issued and uses again.
    re.compile(r"run/runtime-keys\.json"),
    re.compile(r"tenants/[^/]+/[^/]+/(superuser|owner|redis)\.password"),
    re.compile(r"tenants/[^/]+/runtime/secrets/[^/]+"),
)
MIN_LENGTH = 8


@dataclass(frozen=True)
class Secrets:
    """label -> value, and every form in which a value might lie about."""

    values: Mapping[str, str]

    def found_in(self, content: bytes) -> list[str]:
        return [
            label for label, value in self.values.items() if any(form in content for form in forms(value))
        ]

    def needles(self) -> set[bytes]:
        return {form for value in self.values.values() for form in forms(value)}


def forms(value: str) -> set[bytes]:
    """As it is, percent-encoded, in hex, and in base64 at each of the three offsets it can have in a longer text."""
    raw = value.encode()
    encoded = {base64.b64encode(b"x" * offset + raw)[4 if offset else 0 : -4] for offset in range(3)}
    encoded |= {form.replace(b"+", b"-").replace(b"/", b"_") for form in set(encoded)}
    return {raw, quote(value, safe="").encode(), raw.hex().encode(), *encoded}


def secrets_of(home: Path, extra: Mapping[str, str]) -> Secrets:
    """What is in the designated files now: whole values, and of URLs their passwords."""
    values = dict(extra)
    for path in designated_files(home):
        name = path.relative_to(home).as_posix()
        text = path.read_text(encoding="utf-8").strip()
        if path.suffix == ".json":
            continue  # what is in these is told apart by `extra`
        password = urlsplit(text).password if "://" in text else text
        if password and len(password) >= MIN_LENGTH:
            values[name] = password
    return Secrets(values)


def designated_files(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file() and _is_designated(home, path)]


def _is_designated(home: Path, path: Path) -> bool:
    name = path.relative_to(home).as_posix()
    return any(pattern.fullmatch(name) for pattern in DESIGNATED)


def scan_files(home: Path, secrets: Secrets) -> list[str]:
    """Everything below the home but the designated files: logs, data folders, state of every server."""
    with tempfile.NamedTemporaryFile() as patterns:
        patterns.write(b"\n".join(sorted(secrets.needles())) + b"\n")
        patterns.flush()
        done = subprocess.run(
            ["grep", "-r", "-l", "-a", "-F", "-f", patterns.name, str(home)],
            capture_output=True,
            timeout=300,
            env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
        )
    assert done.returncode in (0, 1, 2), done.stderr[-500:]
    hits = [Path(os.fsdecode(line)) for line in done.stdout.splitlines()]
    found = []
    for path in hits:
        if not _is_designated(home, path):
            labels = secrets.found_in(path.read_bytes()) if path.exists() else ["?"]
            found.append(f"file {path.relative_to(home)}: {', '.join(labels)}")
    return found


def loose_files(home: Path) -> list[str]:
    """Designated files that others could read."""
    return [
        f"{path}: {path.stat().st_mode:o}" for path in designated_files(home) if path.stat().st_mode & 0o077
    ]


def scan_database(url: str, secrets: Secrets) -> list[str]:
    """Every row of every table, as pg_dump writes it."""
    parts = urlsplit(url)
    done = subprocess.run(
        [str(postgres_binary("pg_dump")), "--no-password", "--inserts", parts.path.lstrip("/")],
        env={
            "PATH": os.environ["PATH"],
            "PGHOST": str(parts.hostname),
            "PGPORT": str(parts.port),
            "PGUSER": str(parts.username),
            "PGPASSWORD": str(parts.password),
            "LC_ALL": "C",
        },
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.count(b"INSERT INTO") > 5, "the dump holds nothing"
    found = []
    for line in done.stdout.splitlines():
        if labels := secrets.found_in(line):
            table = line.split(b" ")[2].decode() if line.startswith(b"INSERT INTO") else "?"
            found.append(f"table {parts.path.lstrip('/')}:{table}: {', '.join(labels)}")
    return found


def scan_redis(url: str, secrets: Secrets) -> list[str]:
    client = redis.Redis.from_url(url)
    found = []
    for key in client.scan_iter(count=1000):
        kind = client.type(key)
        content = {
            b"string": lambda k: client.get(k),
            b"list": lambda k: client.lrange(k, 0, -1),
            b"hash": lambda k: client.hgetall(k),
            b"set": lambda k: client.smembers(k),
            b"zset": lambda k: client.zrange(k, 0, -1),
            b"stream": lambda k: client.xrange(k),
        }.get(kind, lambda k: client.dump(k))(key)
        # The text form shows every byte string in it; what is not ASCII is no secret of ours.
        if labels := secrets.found_in(key + b" " + repr(content).encode()):
            found.append(f"redis {key!r}: {', '.join(labels)}")
    client.close()
    return found


def scan_argv(secrets: Secrets) -> list[str]:
    """The command line of every process of this machine."""
    found = []
    for process in psutil.process_iter():
        try:
            line, name = "\0".join(process.cmdline()), process.name()
        except psutil.Error:
            continue
        if labels := secrets.found_in(line.encode(errors="replace")):
            found.append(f"argv of {name}: {', '.join(labels)}")
    return found


def scan_environ(home: Path, secrets: Secrets) -> list[str]:
    """The environment of everything that bears this home's mark: services, the supervisor, tenants' processes.
    Only a run of an operation may know something: its own login to the state database."""
    found, seen = [], 0
    for process in psutil.process_iter():
        try:
            environ, name = process.environ(), process.name()
        except (psutil.Error, OSError):
            continue
        mark = environ.get(MARK_VARIABLE, "")
        if not mark.startswith(f"{home}/") or mark.startswith(f"{home}/operations/"):
            continue
        seen += 1
        content = "\0".join(f"{key}={value}" for key, value in environ.items())
        if labels := secrets.found_in(content.encode(errors="replace")):
            found.append(f"environ of {name} ({mark.removeprefix(str(home))}): {', '.join(labels)}")
    assert seen >= 5, "no process of this home was seen"
    return found


def scan_answers(answers: Iterable[tuple[str, httpx.Response]], secrets: Secrets) -> list[str]:
    """Bodies and headers of answers."""
    found = []
    for name, answer in answers:
        headers = "\n".join(f"{key}: {value}" for key, value in answer.headers.items())
        if labels := secrets.found_in(answer.content + headers.encode()):
            found.append(f"answer of {name} ({answer.status_code}): {', '.join(labels)}")
    return found


def api_reads(
    api_url: str, key: str, values: Mapping[str, list[str]]
) -> Iterator[tuple[str, httpx.Response]]:
    """Every GET of the API's own document, each path filled in with every one of the values given for it."""
    headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}
    root = api_url.removesuffix("/api/v1")
    with httpx.Client(headers=headers, timeout=30) as client:
        document = client.get(f"{root}/api/schema/?format=json").json()
        for template, methods in document["paths"].items():
            if "get" not in methods:
                continue
            for path in _filled(template, values):
                yield path, client.get(f"{root}{path}")


def _filled(template: str, values: Mapping[str, list[str]]) -> list[str]:
    paths = [template]
    for name in re.findall(r"{([a-z_]+)}", template):
        assert name in values, f"{template}: the test has no value for {{{name}}}"
        paths = [path.replace(f"{{{name}}}", value) for path in paths for value in values[name]]
    return paths


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a" and (target := dict(attrs).get("href")):
            self.found.append(target)


def portal_pages(
    portal_url: str, email: str, password: str, *, at_most: int = 120
) -> Iterator[tuple[str, httpx.Response]]:
    """Every page that links lead to, signed in."""
    with httpx.Client(base_url=portal_url, follow_redirects=True, timeout=30) as client:
        page = client.get("/")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token is not None
        form = {"csrfmiddlewaretoken": token[1], "login": email, "password": password}
        page = client.post(str(page.url), data=form, headers={"Referer": str(page.url)})
        assert "login" not in page.url.path, f"not signed in: {page.url}"
        waiting, seen = ["/"], {"/"}
        while waiting and len(seen) < at_most:
            path = waiting.pop(0)
            page = client.get(path)
            yield path, page
            links = _Links()
            links.feed(page.text if "html" in page.headers.get("content-type", "") else "")
            for link in links.found:
                target = urlsplit(urljoin(str(page.url), link))
                inside = target.netloc == urlsplit(portal_url).netloc
                address = target.path + (f"?{target.query}" if target.query else "")
                if inside and address not in seen and "logout" not in address and "/api/" not in address:
                    seen.add(address)
                    waiting.append(address)
