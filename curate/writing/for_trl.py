"""Rows as TRL's trainers read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from datasets import Dataset, Features
from datasets.info import DatasetInfo
from datasets.table import InMemoryTable

from airrep.errors import ArgumentError, RecordError
from airrep.records import trl_record
from curate.rows.collection import Columns, holds_media, iterate
from curate.rows.columns import array_of

MEDIA = ("images", "image", "videos", "audios")  # what TRL reads of pictures, films and sounds


def for_trl(rows: Dataset, columns: Columns, *, everything: bool = False) -> Dataset:
    """The rows' records (`airrep.records.trl_record`) as a dataset.

    A column that is in a layout of TRL's already is passed on as it is; others are made, with
    datasets' `Json` type where values differ in kind or in their fields.

    Args:
        rows: The user's rows.
        columns: How they are read.
        everything: Whether columns that TRL does not read are kept beside the record.

    Raises:
        ArgumentError: The rows are of several layouts, which no trainer reads together.
        RecordError: A row cannot be read.
    """
    given = [_read(row) for row in iterate(rows)]
    records = [trl_record(row, columns=columns) for row in given]
    _check_alike(records)
    names = list(dict.fromkeys(name for record in records for name in record))
    pictures = [n for n in MEDIA if n in rows.column_names and holds_media(rows.features[n])]
    kept = {*pictures} if names != ["text"] else set()
    made: dict[str, pa.Array | pa.ChunkedArray] = {}
    for name in names:
        values = [record.get(name) for record in records]
        if name == "chat_template_kwargs":  # TRL takes no null for them
            values = [{} if value is None else value for value in values]
        if name in rows.column_names and all(
            value is row.get(name) for value, row in zip(values, given, strict=True)
        ):
            kept.add(name)
        else:
            made[name] = array_of(values)
    if everything:
        kept |= {name for name in rows.column_names if name not in names}
    order = [*names, *(n for n in rows.column_names if n in kept and n not in names)]
    return _columns(rows, order, kept, made)


def _read(row: dict[str, Any] | RecordError) -> dict[str, Any]:
    if isinstance(row, RecordError):
        raise row
    return row


def _check_alike(records: Sequence[dict[str, Any]]) -> None:
    layouts = {tuple(_shape(record)) for record in records}
    if len(layouts) > 1:
        found = " and ".join("+".join(layout) for layout in sorted(layouts))
        raise ArgumentError(
            f"the rows mix the layouts {found}, which TRL does not read together; convert them to "
            "one of them."
        )


def _shape(record: dict[str, Any]) -> Iterator[str]:
    for name, value in record.items():
        if name in ("text", "messages", "prompt", "completion", "chosen", "rejected"):
            yield name if isinstance(value, str) or name == "messages" else f"{name} as messages"


def _columns(
    rows: Dataset, order: Sequence[str], kept: set[str], made: dict[str, pa.Array | pa.ChunkedArray]
) -> Dataset:
    """Columns of the rows beside new ones; those that were kept have their own features."""
    own = [name for name in order if name in kept]
    stored: pa.Table = rows.select_columns(own).with_format("arrow")[:] if own else pa.table({})
    table = pa.table({name: made[name] if name in made else stored[name] for name in order})
    found = Features.from_arrow_schema(table.schema.remove_metadata())
    features = Features({n: rows.features[n] if n in kept else found[n] for n in order})
    return Dataset(InMemoryTable(table.cast(features.arrow_schema)), DatasetInfo(features=features))
