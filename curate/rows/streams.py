"""Bytes of a file of rows, unpacked if its name says that it is packed.

No honest file meets the limits, which are there for files that were made to exhaust memory
(docs/hostile-input.md).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from airrep.errors import FileFormatError
from curate.rows.first_bytes import MOST, check_download, check_text

LONGEST_LINE = 64 << 20
# Text packs to a third or a tenth; only what repeats itself over and over packs to a hundredth.
LARGEST_UNPACKED, LARGEST_RATIO = 1 << 30, 100


_UNPACKERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    ".gz": ("gzip", gzip.open),
    ".bz2": ("bzip2", bz2.open),
    ".xz": ("xz", lzma.open),
    ".zst": ("Zstandard", lambda path: pa.input_stream(path, compression="zstd")),
}
PACKED_SUFFIXES = tuple(_UNPACKERS)


def is_packed(path: Path) -> bool:
    """Whether a file's name says that it is packed."""
    return path.suffix.lower() in _UNPACKERS


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
def opened(path: Path) -> Iterator[io.BufferedReader[Any]]:
    """The bytes of a file of text, unpacked.

    Raises:
        FileFormatError: A damaged packed file, one that unpacks to too much, or no text.
        OSError: The file cannot be read.
    """
    with path.open("rb") as raw:
        check_download(raw.read(MOST), path)
        raw.seek(0)
        if not is_packed(path):
            check_text(raw.peek(MOST)[:MOST], str(path))
            yield raw
            return
    packer, unpacker = _UNPACKERS[path.suffix.lower()]
    try:
        with unpacker(str(path)) as packed, io.BufferedReader(_Counted(packed, path)) as stream:
            check_text(stream.peek(MOST)[:MOST], str(path))
            yield stream
    except FileFormatError:
        raise
    except (EOFError, OSError, lzma.LZMAError, pa.ArrowException, zlib.error) as error:
        raise FileFormatError(f"{path}: damaged {packer} file ({error}).") from error


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

    def __init__(self, packed: BinaryIO, path: Path) -> None:
        self._packed, self._path, self._read = packed, path, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count: int = self._packed.readinto(buffer)  # type: ignore[attr-defined]
        self._read += count
        check_unpacked(self._path, self._read)
        return count
