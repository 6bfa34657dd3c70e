"""Bytes of a file of rows, unpacked if it is a .gz, within limits that no honest file meets.

The limits are there for files that were made to exhaust memory: docs/hostile-input.md.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import BinaryIO

from airrep.errors import FileFormatError

STANDARD_INPUT = "standard input"  # what rows from there are called, also in manifests
LONGEST_LINE = 64 << 20
# Text packs to a third or a tenth; only what repeats itself over and over packs to a hundredth.
LARGEST_UNPACKED, LARGEST_RATIO = 1 << 30, 100


def is_packed(path: Path) -> bool:
    """Whether a file's name says that it is packed."""
    return path.suffix.lower() == ".gz"


def check_unpacked(path: Path, size: int) -> None:
    """Refuse what a file unpacks to if it is large, and far larger than the file.

    Args:
        path: The packed file.
        size: Bytes that it has unpacked to so far, or says that it will.

    Raises:
        FileFormatError: It looks as if it was made to exhaust memory.
    """
    if size > LARGEST_UNPACKED and size > LARGEST_RATIO * path.stat().st_size:
        raise FileFormatError(
            f"{path}: unpacks to more than {LARGEST_UNPACKED >> 20:,} MiB and {LARGEST_RATIO} "
            "times its own size, as files do that are made to exhaust memory. If it is what you "
            "want, unpack it, and name the file that comes out."
        )


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked.

    Raises:
        FileFormatError: A damaged .gz, or one that unpacks to too much.
        OSError: The file cannot be read.
    """
    if not is_packed(path):
        with path.open("rb") as stream:
            yield stream
        return
    try:
        with gzip.open(path, "rb") as packed, io.BufferedReader(_Counted(packed, path)) as stream:
            yield stream
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileFormatError(f"{path}: damaged gzip file ({error}).") from error


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The file's lines with their numbers, from 1.

    Raises:
        FileFormatError: See `opened`; or a line is longer than any row.
        OSError: The file cannot be read.
    """
    with opened(path) as stream:
        yield from lines_of(stream, str(path))


def lines_of(stream: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    """The lines of a stream with their numbers, from 1.

    Args:
        stream: An open file.
        name: Name of the file in messages.

    Raises:
        FileFormatError: A line is longer than any row.
    """
    for number in count(1):
        line = stream.readline(LONGEST_LINE + 1)
        if not line:
            return
        if len(line) > LONGEST_LINE:
            raise FileFormatError(
                f"{name}, line {number}: longer than {LONGEST_LINE >> 20} MiB, as no training "
                "example is. Are the line breaks missing? Write one row per line."
            )
        yield number, line


class _Counted(io.RawIOBase):
    """A packed file's content, no more of it than `check_unpacked` allows."""

    def __init__(self, packed: gzip.GzipFile, path: Path) -> None:
        self._packed, self._path, self._read = packed, path, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self._packed.readinto(buffer)
        self._read += count
        check_unpacked(self._path, self._read)
        return count
