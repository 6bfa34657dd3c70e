"""One file to an Arrow table; what is wrong with a file is said with its name and line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from airrep.console.wording import counted
from airrep.errors import FileFormatError
from curate.rows.columns import table_of
from curate.rows.streams import STANDARD_INPUT, check_unpacked, is_packed, lines, lines_of, opened

_BATCH = 1 << 16


def read_file(path: Path) -> pa.Table:
    """Read a file by its suffix.

    Raises:
        FileFormatError: An unknown suffix, or content that is not what the suffix promises.
        OSError: The file cannot be read.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compressed = is_packed(path)
    suffix = next(iter(suffixes[-2:-1] if compressed else suffixes[-1:]), "")
    if suffix not in _READERS or (compressed and suffix == ".parquet"):
        raise FileFormatError(
            f"{path}: unknown file type {''.join(suffixes[-2:]) or '(no suffix)'!r}; expected one "
            f"of {', '.join(SUFFIXES)} (.jsonl, .json and .csv also as .gz)."
        )
    if path.exists() and not path.is_file():  # a pipe would wait for ever for one who writes
        raise OSError("not a regular file, but a directory, a pipe or a device")
    return _READERS[suffix](path)


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's members; two of one name are an error, of which json would keep the last."""
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {double!r} stands twice in one object")
    return made


_DECODER = json.JSONDecoder(object_pairs_hook=_no_doubles)


def _parsed(content: bytes, where: str, encoding: str) -> Any:  # noqa: ANN401 (anything)
    try:
        return _DECODER.decode(content.decode(encoding).rstrip())
    except json.JSONDecodeError as error:
        raise FileFormatError(
            f"{where}: not valid JSON ({error.msg}, character {error.pos})."
        ) from None
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{where}: not UTF-8 ({error.reason}).") from None
    except RecursionError:
        raise FileFormatError(f"{where}: nested too deeply.") from None
    except ValueError as error:  # a field that stands twice, a number of thousands of digits
        reason = str(error).partition(";")[0]
        raise FileFormatError(f"{where}: not valid JSON ({reason}).") from None


def _json_rows(numbered: Iterable[tuple[int, bytes]], name: str) -> Iterator[dict[str, Any]]:
    for number, line in numbered:
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        row = _parsed(line, where, "utf-8-sig" if number == 1 else "utf-8")
        if not isinstance(row, dict):
            raise FileFormatError(f"{where}: expected a JSON object, found {type(row).__name__}.")
        yield row


def _read_jsonl(path: Path) -> pa.Table:
    return table_of(_json_rows(lines(path), str(path)), str(path))


def read_standard_input() -> pa.Table:
    """Read JSON lines from standard input.

    Raises:
        FileFormatError: A line is not a JSON object.
    """
    numbered = lines_of(sys.stdin.buffer, STANDARD_INPUT)
    return table_of(_json_rows(numbered, STANDARD_INPUT), STANDARD_INPUT)


def _read_json(path: Path) -> pa.Table:
    """A JSON array of objects, or JSON lines under another name."""
    with opened(path) as stream:
        text = stream.read()
    if text.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] != b"[":
        return _read_jsonl(path)
    rows = _parsed(text, str(path), "utf-8-sig")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise FileFormatError(
                f"{path}, item {number} (counting from 0): expected an object, found "
                f"{type(row).__name__}."
            )
    return table_of(rows, str(path))


def _read_csv(path: Path) -> pa.Table:
    """Every cell as text: guessing types would turn the answer "007" into the number 7."""
    try:
        with opened(path) as stream:
            head = pd.read_csv(stream, header=None, nrows=1, **_AS_TEXT)
        with opened(path) as stream:
            frame = pd.read_csv(stream, **_AS_TEXT)
    except (ValueError, pd.errors.ParserError) as error:
        if isinstance(error, FileFormatError):
            raise
        reason = " ".join(str(error).split())
        raise FileFormatError(f"{path}: not a readable CSV file ({reason}).") from None
    names = head.iloc[0].tolist()
    if double := [name for name in names if names.count(name) > 1]:
        raise FileFormatError(
            f"{path}: the header names the column {double[0]!r} twice; rename one of them."
        )
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes the cells before for names
        raise FileFormatError(
            f"{path}: the header names {counted(len(names), 'column')}, and the first row below it "
            "has more cells. Name every column."
        )
    return pa.Table.from_pandas(frame, preserve_index=False)


_AS_TEXT: dict[str, Any] = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig"}


def _read_parquet(path: Path) -> pa.Table:
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


_READERS: dict[str, Callable[[Path], pa.Table]] = {
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
SUFFIXES = tuple(_READERS)
