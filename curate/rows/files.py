"""One file to an Arrow table; what is wrong with a file is said with its name and line."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from airrep.errors import FileFormatError
from curate.rows.bad_rows import STANDARD_INPUT, BadRows, OnBadRow
from curate.rows.columns import table_of
from curate.rows.csv_files import read_csv
from curate.rows.first_bytes import MOST, check_download, check_text
from curate.rows.json_files import json_rows, read_json
from curate.rows.streams import PACKED_SUFFIXES, check_unpacked, is_packed

_BATCH = 1 << 16
_PARQUET = ".parquet"
_READERS: dict[str, Callable[[Path, BadRows], Iterator[Mapping[str, Any]]]] = {
    ".jsonl": read_json,
    ".ndjson": read_json,
    ".json": read_json,
    ".csv": read_csv,
    ".tsv": read_csv,
}
SUFFIXES = (*_READERS, _PARQUET)


def has_known_suffix(name: str) -> bool:
    """Whether a file of this name can be read, going by its suffix."""
    name = name.lower()
    packed = next((suffix for suffix in PACKED_SUFFIXES if name.endswith(suffix)), "")
    return name.removesuffix(packed).endswith(tuple(_READERS) if packed else SUFFIXES)


def read_file(path: Path, bad: BadRows | None = None) -> pa.Table:
    """Read a file by its suffix.

    Args:
        path: The file.
        bad: What is done with rows that cannot be read; by default they are errors.

    Raises:
        FileFormatError: An unknown suffix, or content that is not what the suffix promises.
        OSError: The file cannot be read.
    """
    if not has_known_suffix(path.name):
        raise _unknown(path)
    if path.exists() and not path.is_file():  # a pipe would wait for ever for one who writes
        raise OSError("not a regular file, but a directory, a pipe or a device")
    if path.suffix.lower() == _PARQUET:
        return _read_parquet(path)
    suffix = path.with_suffix("").suffix if is_packed(path) else path.suffix
    bad = bad or BadRows(str(path))
    return table_of(_READERS[suffix.lower()](path, bad), bad)


def read_standard_input(on_bad_row: OnBadRow = "error") -> tuple[pa.Table, BadRows]:
    """Read JSON from standard input: the rows, and those of them that could not be read.

    Raises:
        FileFormatError: It holds no rows, or a row that cannot be read.
    """
    bad = BadRows(STANDARD_INPUT, on_bad_row)
    piped: Any = sys.stdin.buffer
    stream = piped if hasattr(piped, "peek") else io.BufferedReader(piped)
    check_text(stream.peek(MOST)[:MOST], STANDARD_INPUT)
    return table_of(json_rows(stream, bad), bad), bad


def _unknown(path: Path) -> FileFormatError:
    suffixes = "".join(path.suffixes[-2:] if is_packed(path) else path.suffixes[-1:])
    if ".txt" in suffixes.lower():
        return FileFormatError(
            "a .txt file does not say what one row is (a line, a paragraph, the whole file?)",
            where=path,
            remedy='Write each row as a line {"text": "…"} of a .jsonl file',
        )
    return FileFormatError(
        f"{path}: unknown file type {suffixes or '(no suffix)'!r}; expected one of "
        f"{', '.join(SUFFIXES)} (all but the last also as {', '.join(PACKED_SUFFIXES)})."
    )


def _read_parquet(path: Path) -> pa.Table:
    with path.open("rb") as raw:
        check_download(raw.read(MOST), path)
    try:
        with pq.ParquetFile(path) as file:
            stated = file.metadata
            check_unpacked(
                path, sum(stated.row_group(i).total_byte_size for i in range(stated.num_row_groups))
            )
            batches, size = [], 0
            for batch in file.iter_batches(_BATCH):
                batches.append(batch)
                size += batch.nbytes
                check_unpacked(path, size)
            return pa.Table.from_batches(batches, file.schema_arrow)
    except (FileNotFoundError, PermissionError):
        raise
    except (pa.ArrowException, OSError) as error:
        raise FileFormatError(f"{path}: not a readable Parquet file ({error}).") from error
