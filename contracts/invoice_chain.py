"""The hash-chained export of an invoice: how a record is hashed, and whether a file still is what was exported.

A customer can run this file alone, with nothing but Python:

    python invoice_chain.py EXPORT.jsonl [--fingerprint HASH] [--head HASH]

Each line of the file is a JSON object {seq, type, data, prev, hash}. `hash` is the SHA-256 of `prev`, a line feed and
the canonical JSON of {data, seq, type}: sorted keys, no spaces, UTF-8. `prev` is the hash of the record before, and 64
zeros for the first. Types: one `invoice`; each `line`, of which the last one's hash is the invoice's fingerprint
(printed on the PDF); for each line of metered usage its `event`s and then a `sum`; one `end`. The hash of `end` is the
head, which the control plane keeps with the invoice.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Context, Decimal, InvalidOperation
from typing import Any

GENESIS = "0" * 64
_WIDE = Context(prec=200)


@dataclass(frozen=True)
class ChainReport:
    """`problems` is empty when the file is whole. `fingerprint` and `head` are what the file itself comes to."""

    records: int
    fingerprint: str
    head: str
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def record_hash(seq: int, type: str, data: Any, prev: str) -> str:
    body = json.dumps(
        {"data": data, "seq": seq, "type": type}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(f"{prev}\n{body}".encode()).hexdigest()


def chain(records: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """(type, data) pairs as linked records, numbered from 1."""
    prev = GENESIS
    for seq, (type, data) in enumerate(records, start=1):
        hashed = record_hash(seq, type, data, prev)
        yield {"seq": seq, "type": type, "data": data, "prev": prev, "hash": hashed}
        prev = hashed


def record_text(record: dict[str, Any]) -> str:
    """One line of the file, without its end."""
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False)


@dataclass
class _Walk:
    """What was seen of the file so far."""

    prev: str = GENESIS
    count: int = 0
    fingerprint: str = ""
    invoice: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    sums: dict[str, Decimal] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    summed: set[str] = field(default_factory=set)
    ended: bool = False
    problems: list[str] = field(default_factory=list)


def chain_verify(
    lines: Iterable[str], *, fingerprint: str | None = None, head: str | None = None
) -> ChainReport:
    """Walks the records: links and hashes, that the lines add up to the invoice, and the events to their lines.

    `fingerprint` and `head` are what the invoice and the control plane say. Without them, a file that was rewritten
    from some record on, with fresh hashes, can only be told by sums that do not fit.
    """
    walk = _Walk()
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            _record(walk, json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation) as error:
            walk.problems.append(f"line {number}: not a record ({type(error).__name__})")
            break
        if len(walk.problems) >= 20:
            break
    if not walk.problems:
        _whole(walk)
    for name, said, found in (("fingerprint", fingerprint, walk.fingerprint), ("head", head, walk.prev)):
        if said is not None and said.strip().lower() != found:
            walk.problems.append(f"the {name} is {found}, not {said}")
    return ChainReport(walk.count, walk.fingerprint, walk.prev, tuple(walk.problems))


def _record(walk: _Walk, record: dict[str, Any]) -> None:
    seq, kind, data = record["seq"], record["type"], record["data"]
    walk.count += 1
    if seq != walk.count:
        walk.problems.append(f"record {walk.count}: is numbered {seq}; records are missing or out of order")
    if record["prev"] != walk.prev:
        walk.problems.append(f"record {seq}: does not follow the one before it")
    if record["hash"] != record_hash(seq, kind, data, record["prev"]):
        walk.problems.append(f"record {seq}: was changed")
    walk.prev = record["hash"]
    if walk.ended or (kind == "invoice") != (walk.count == 1):
        walk.problems.append(f"record {seq}: {kind} has no place here")
    if kind in ("invoice", "line"):
        walk.fingerprint = record["hash"]
    _content(walk, seq, kind, data)


def _content(walk: _Walk, seq: int, kind: str, data: dict[str, Any]) -> None:
    if kind == "invoice":
        walk.invoice = data
    elif kind == "line":
        walk.lines[data["id"]] = data
    elif kind == "event":
        line = data["line"]
        if line not in walk.lines:
            walk.problems.append(f"record {seq}: an event of a line that is not there")
        walk.sums[line] = _WIDE.add(walk.sums.get(line, Decimal(0)), Decimal(data["value"]))
        walk.counts[line] = walk.counts.get(line, 0) + 1
    elif kind == "sum":
        _sum_check(walk, seq, data)
    elif kind == "end":
        walk.ended = True
        if data["records"] != walk.count:
            walk.problems.append(f"record {seq}: counts {data['records']} records, there are {walk.count}")
    else:
        walk.problems.append(f"record {seq}: {kind} is not a type of this format")


def _sum_check(walk: _Walk, seq: int, data: dict[str, Any]) -> None:
    line = data["line"]
    walk.summed.add(line)
    if data["events"] != walk.counts.get(line, 0):
        walk.problems.append(
            f"record {seq}: {data['events']} events were exported, not {walk.counts.get(line, 0)}"
        )
    used, found = Decimal(walk.lines[line]["used"]), walk.sums.get(line, Decimal(0))
    if abs(_WIDE.subtract(used, found)) > Decimal(data["tolerance"]):
        walk.problems.append(f"record {seq}: the events come to {found}, and the line says {used}")


def _whole(walk: _Walk) -> None:
    if not walk.ended:
        walk.problems.append("the file ends too early: there is no end record")
        return
    amounts = {"tax": Decimal(0), "charge": Decimal(0)}
    for line in walk.lines.values():
        kind = "tax" if line["kind"] == "tax" else "charge"
        amounts[kind] = _WIDE.add(amounts[kind], Decimal(line["amount"]))
        if line["metered"] and line["id"] not in walk.summed:
            walk.problems.append(f"line {line['position']}: its events are missing")
    said = {name: Decimal(walk.invoice[name]) for name in ("subtotal", "credits", "tax", "total")}
    if amounts["charge"] != said["subtotal"] or amounts["tax"] != said["tax"]:
        walk.problems.append("the lines do not add up to the invoice's subtotal and tax")
    if said["total"] != said["subtotal"] - said["credits"] + said["tax"]:
        walk.problems.append("the invoice's total is not subtotal - credits + tax")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Verify the export of an invoice.")
    parser.add_argument("file")
    parser.add_argument("--fingerprint", help="as printed on the invoice")
    parser.add_argument("--head", help="as GET /api/v1/invoices/{id} gives it")
    given = parser.parse_args(arguments)
    with open(given.file, encoding="utf-8") as lines:
        report = chain_verify(lines, fingerprint=given.fingerprint, head=given.head)
    sys.stdout.write(f"{report.records} records, fingerprint {report.fingerprint}, head {report.head}\n")
    for problem in report.problems:
        sys.stdout.write(f"BROKEN: {problem}\n")
    sys.stdout.write("Unbroken, and the sums fit.\n" if report.ok else "")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
