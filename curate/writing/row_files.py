"""Files of rows, Parquet or JSON lines; what a file cannot hold is said before the work."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset

from airrep.console.wording import shortened
from airrep.errors import ArgumentError, RecordError
from curate.rows.bad_rows import BadRows
from curate.rows.collection import as_dataset, holds_media, iterate
from curate.rows.columns import table_of
from curate.writing.file_format import FileEnding

_AS_TEXT = (pa.types.is_date, pa.types.is_timestamp, pa.types.is_time)  # in JSON, of ISO 8601


def check_can_be_written(rows: Dataset, ending: FileEnding) -> None:
    """Refuse rows with a column that a file of this kind cannot hold.

    Raises:
        ArgumentError: There is one.
    """
    stored = rows.with_format("arrow")
    if ending == "parquet":
        try:
            pq.write_table(stored[:1], io.BytesIO())
        except pa.ArrowException as error:
            raise ArgumentError(
                f"these rows cannot be written as Parquet ({shortened(error, 200)}); leave the "
                "column out, or choose format='jsonl'."
            ) from error
        return
    for name, kind in rows.features.items():
        if holds_media(kind):
            raise _not_json(name, "pictures, sounds or the like")
        if problem := _problem(stored.data.table[name]):
            raise _not_json(name, problem)


def _not_json(name: str, problem: str) -> ArgumentError:
    return ArgumentError(
        f"column {name!r} holds {problem}, for which JSON has no word; choose format='parquet', "
        "which keeps it, or leave the column out."
    )


def _problem(column: pa.Array | pa.ChunkedArray) -> str | None:
    """What of a column JSON cannot say; None if there is nothing."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return None  # JSON itself, for what else there is holds media
    if pa.types.is_struct(kind):
        fields = (pc.struct_field(column, i) for i in range(kind.num_fields))
        return next(filter(None, map(_problem, fields)), None)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _problem(pc.list_flatten(column))
    if pa.types.is_floating(kind):
        fine = pc.all(pc.is_finite(column), min_count=0).as_py()
        return None if fine else "NaN or Infinity"
    known = (
        pa.types.is_integer,
        pa.types.is_boolean,
        pa.types.is_null,
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_dictionary,
        *_AS_TEXT,
    )
    return None if any(test(kind) for test in known) else f"values of type {kind}"


def write_rows(rows: Dataset, file: Path, ending: FileEnding) -> None:
    """Write rows to a file.

    Raises:
        ArgumentError: See `check_can_be_written`.
    """
    check_can_be_written(rows, ending)
    if ending == "parquet":
        pq.write_table(rows.with_format("arrow")[:], file)
        return
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        for row in iterate(rows):
            if isinstance(row, RecordError):
                raise row
            text = json.dumps(row, ensure_ascii=False, allow_nan=False, default=_as_text)
            stream.write(text + "\n")


def write_objects(
    values: Iterable[Mapping[str, Any]], file: Path, ending: FileEnding, name: str
) -> None:
    """Write plain values as rows.

    Args:
        values: Objects of JSON.
        file: The file.
        ending: Its kind.
        name: What they are called in messages.

    Raises:
        FileFormatError: A value fits into no column.
    """
    if ending == "jsonl":
        write_lines(values, file)
    else:
        write_rows(as_dataset(table_of(values, BadRows(name)), name), file, ending)


def write_lines(values: Iterable[Mapping[str, Any]], file: Path) -> None:
    """Write plain values as JSON lines."""
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        for each in values:
            stream.write(json.dumps(each, ensure_ascii=False) + "\n")


def _as_text(value: Any) -> str:  # noqa: ANN401 (a value that json has no word for)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    raise ArgumentError(f"a value of type {type(value).__name__} is no JSON; choose Parquet.")
