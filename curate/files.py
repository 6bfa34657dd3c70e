"""One file to an Arrow table; what is wrong with a file is said with its name and line."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from airrep.errors import FileFormatError

_CHUNK = 10_000


def read_file(path: Path) -> pa.Table:
    """Read a file by its suffix.

    Raises:
        FileFormatError: An unknown suffix, or content that is not what the suffix promises.
        OSError: The file cannot be read.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compressed = suffixes[-1:] == [".gz"]
    suffix = next(iter(suffixes[-2:-1] if compressed else suffixes[-1:]), "")
    if suffix not in _READERS or (compressed and suffix == ".parquet"):
        raise FileFormatError(
            f"{path}: unknown file type {''.join(suffixes[-2:]) or '(no suffix)'!r}; expected one "
            f"of {', '.join(SUFFIXES)} (.jsonl, .json and .csv also as .gz)."
        )
    return _READERS[suffix](path)


def table_of(rows: Iterable[Mapping[str, Any]], name: str) -> pa.Table:
    """Rows to a table with every field that occurs in any of them; absent fields become null.

    Raises:
        FileFormatError: A field holds values of kinds that no column can hold together.
    """
    chunks, iterator, seen = [], iter(rows), 0
    while chunk := list(islice(iterator, _CHUNK)):
        fields = dict.fromkeys(field for row in chunk for field in row)
        columns = {f: _column([row.get(f) for row in chunk], f, name, seen) for f in fields}
        chunks.append(pa.table(columns))
        seen += len(chunk)
    if not chunks:
        return pa.table({})
    try:
        return pa.concat_tables(chunks, promote_options="permissive")
    except pa.ArrowException as error:
        raise FileFormatError(
            f"{name}: a field changes its type along the rows ({error})."
        ) from error


def _column(values: list[Any], field: str, name: str, first: int) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError) as error:
        kinds: dict[str, int] = {}
        for number, value in enumerate(values):
            if value is not None:
                kinds.setdefault(type(value).__name__, first + number)
        found = ", ".join(f"{kind} (row {row})" for kind, row in kinds.items())
        raise FileFormatError(
            f"{name}: field {field!r} holds values that do not go together: {found}; rows count "
            f"from 0 ({error}). Make them one type."
        ) from error


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    opener: Callable[..., Any] = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as stream:
        try:
            yield from enumerate(stream, start=1)
        except (EOFError, gzip.BadGzipFile) as error:
            raise FileFormatError(f"{path}: damaged gzip file ({error}).") from error


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip())
        except json.JSONDecodeError as error:
            raise FileFormatError(
                f"{path}, line {number}: not valid JSON ({error.msg}, character {error.pos})."
            ) from None
        except UnicodeDecodeError as error:
            raise FileFormatError(f"{path}, line {number}: not UTF-8 ({error.reason}).") from None
        except RecursionError:
            raise FileFormatError(f"{path}, line {number}: nested too deeply.") from None
        if not isinstance(row, dict):
            raise FileFormatError(
                f"{path}, line {number}: expected a JSON object, found {type(row).__name__}."
            )
        yield row


def _read_jsonl(path: Path) -> pa.Table:
    return table_of(_json_rows(path), str(path))


def _read_json(path: Path) -> pa.Table:
    """A JSON array of objects, or JSON lines under another name."""
    text = b"".join(line for _, line in _lines(path))
    if text.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] != b"[":
        return _read_jsonl(path)
    try:
        rows = json.loads(text.decode("utf-8-sig"))
    except ValueError as error:
        raise FileFormatError(f"{path}: not valid JSON ({error}).") from None
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
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, pd.errors.ParserError, EOFError, gzip.BadGzipFile) as error:
        raise FileFormatError(f"{path}: not a readable CSV file ({error}).") from None
    return pa.Table.from_pandas(frame, preserve_index=False)


def _read_parquet(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except pa.ArrowException as error:
        raise FileFormatError(f"{path}: not a readable Parquet file ({error}).") from error


_READERS: dict[str, Callable[[Path], pa.Table]] = {
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
SUFFIXES = tuple(_READERS)
