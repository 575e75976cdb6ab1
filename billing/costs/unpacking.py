"""A feed's bytes as lines of text: unpacked where they are gzip, read piece by piece, bounded in size."""

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

GZIP: Final = b"\x1f\x8b"
#: A line longer than this is no line of a bill, and a file that unpacks to more is read by the command in parts.
MOST_OF_A_LINE: Final = 1 << 20
MOST_BYTES: Final = 4 << 30


def text_lines(stream: BinaryIO) -> Iterator[str]:
    """Raises ValueError for what cannot be unpacked or is too large; UnicodeDecodeError is one."""
    magic = stream.read(2)
    stream.seek(0)
    unpacked = gzip.GzipFile(fileobj=stream) if magic == GZIP else stream
    text = io.TextIOWrapper(unpacked, encoding="utf-8-sig", newline="")
    read = 0
    try:
        while line := text.readline(MOST_OF_A_LINE):
            read += len(line)
            if len(line) >= MOST_OF_A_LINE or read > MOST_BYTES:
                raise ValueError("a line or the whole is too large")
            yield line
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"the gzip is damaged: {error}") from error
    finally:
        text.detach()
