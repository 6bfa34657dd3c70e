"""Rows that are in memory already: datasets, data frames, Arrow tables, lists."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict
from pyarrow import types

from airrep.console.wording import shown
from airrep.errors import ArgumentError, FileFormatError, RecordError
from curate.rows.bad_rows import BadRows, OnBadRow
from curate.rows.collection import READ_AT_ONCE, Rows, as_dataset, holds_media
from curate.rows.columns import UnfitValuesError, array_of, check_name, table_of


def from_memory(given: Any, name: str, on_bad_row: OnBadRow) -> Rows:  # noqa: ANN401 (told apart)
    """The rows of a dataset, a data frame, an Arrow table or any iterable of rows.

    Args:
        given: One of these.
        name: What the rows are called in messages.
        on_bad_row: What is done with a row that cannot be read.

    Raises:
        ArgumentError: It is none of these.
        RecordError: One of the rows is no row.
        FileFormatError: A row holds values that cannot be kept.
    """
    if isinstance(given, DatasetDict | IterableDatasetDict):
        given = _only_split(given, name)
    if _is_lazy_frame(given):
        given = given.collect()
    if isinstance(given, Dataset):
        return Rows(given.with_format(None), name)
    bad = BadRows(name, on_bad_row)
    if isinstance(given, pd.DataFrame):
        table = _from_frame(given, bad)
    elif hasattr(given, "__arrow_c_stream__"):
        table = _with_usual_types(pa.table(given))
    elif isinstance(given, IterableDataset):
        table = _from_stream(given, bad)
    elif hasattr(given, "read"):
        opened = getattr(given, "name", None)
        example = f", {opened!r}" if isinstance(opened, str) else ""
        raise ArgumentError(f"{name}: this is an open file; pass its name{example}.")
    elif isinstance(given, Mapping | str | bytes) or not isinstance(given, Iterable):
        raise ArgumentError(
            f"{name}: expected a path, a dataset, a data frame, an Arrow table or a list of rows, "
            f"found {type(given).__name__}."
        )
    else:
        table = table_of(_mappings(given, bad), bad)
    return Rows(as_dataset(table, name), name, unreadable=bad.found)


def _only_split(given: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 (a dataset)
    if len(given) != 1:
        raise ArgumentError(
            f"{name}: this is a {type(given).__name__} with the splits {list(given)}; pass one of "
            "them."
        )
    return next(iter(given.values()))


def _is_lazy_frame(given: object) -> bool:
    """Whether it is a polars LazyFrame; polars is not imported for that."""
    polars = sys.modules.get("polars")
    return polars is not None and isinstance(given, polars.LazyFrame)


def _mappings(rows: Iterable[Any], bad: BadRows) -> Iterator[Mapping[str, Any]]:
    for number, row in enumerate(rows):
        if isinstance(row, Mapping):
            yield row
        elif isinstance(row, str):
            yield {"text": row}
        else:
            problem = f"expected a mapping or a string, found {type(row).__name__}"
            bad.add(number, RecordError(problem), row)
            yield {}


def _from_frame(given: pd.DataFrame, bad: BadRows) -> pa.Table:
    names = [str(each) for each in given.columns]
    if len({*names}) < len(names):
        raise FileFormatError(
            f"{bad.name}: the data frame's columns are named {shown(names, 200)}; expected each "
            "name once."
        )
    for each in names:
        check_name(each, bad.name)
    columns = {name: _from_series(given.iloc[:, i], name, bad) for i, name in enumerate(names)}
    return _with_usual_types(pa.table(columns))


def _from_series(series: pd.Series, field: str, bad: BadRows) -> pa.Array | pa.ChunkedArray:
    if series.dtype == object:
        there = series.notna()
        values = [
            value if held else None
            for value, held in zip(series.tolist(), there.tolist(), strict=True)
        ]
        try:
            return array_of(values)
        except UnfitValuesError as error:
            for row, reason in error.reasons.items():
                problem = f"column {field!r} cannot be kept: {reason}"
                bad.add(row, FileFormatError(problem, remedy="Convert it"), values[row])
                values[row] = None
            return array_of(values)
    try:
        return pa.Array.from_pandas(series)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise FileFormatError(
            f"{bad.name}: column {field!r} of the data frame cannot be kept ({reason}). Convert it."
        ) from error


def _from_stream(given: IterableDataset, bad: BadRows) -> pa.Table:
    """The rows of a streamed dataset; pictures and sounds as they are stored."""
    declared = given.features
    if declared is None or not holds_media(declared):
        return table_of(_mappings(given.with_format(None), bad), bad)
    stored = given.with_format("arrow").iter(READ_AT_ONCE)
    return pa.concat_tables([table.cast(declared.arrow_schema) for table in stored])


def _with_usual_types(table: pa.Table) -> pa.Table:
    """The table with plain text where other libraries keep categories, or views of text."""
    for number, field in enumerate(table.schema):
        kind = _usual_type(field.type)
        if kind != field.type:
            values = table.column(number).to_pylist()
            table = table.set_column(number, field.name, pa.array(values, kind))
    return table


def _usual_type(kind: pa.DataType) -> pa.DataType:
    if types.is_dictionary(kind):
        return _usual_type(kind.value_type)
    if types.is_string_view(kind):
        return pa.large_string()
    if types.is_struct(kind):
        return pa.struct([field.with_type(_usual_type(field.type)) for field in kind])
    for is_list, list_of in ((types.is_list, pa.list_), (types.is_large_list, pa.large_list)):
        if is_list(kind):
            return list_of(_usual_type(kind.value_type))
    return kind
