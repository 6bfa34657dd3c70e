"""Rows to the columns of an Arrow table, from which the same rows come back.

A column has an Arrow type of its own where all its values are of one kind. Anything else - objects
of different fields, text and numbers in one place - is kept as JSON (`curate.rows.json_values`), so
that no field is added to an object, and no value becomes another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

import numpy as np
import pyarrow as pa

from airrep.console.wording import counted, shown
from airrep.errors import FileFormatError
from curate.rows.bad_rows import BadRows
from curate.rows.json_values import json_array, json_list_array, json_text
from curate.rows.unified import unified

_CHUNK = 10_000
# Deeper, Arrow and datasets give up one by one, each in its way, from 50 levels on.
_DEEPEST = 32
_LONGEST = 1 << 30  # characters; an Arrow array of text holds 2 GiB
_EXACT = 2**53  # up to here every whole number is a float
_REFUSALS = (pa.ArrowException, OverflowError, TypeError, ValueError)


class UnfitValuesError(ValueError):
    """Some values of a column can be kept neither in a column of their type nor as JSON.

    Attributes:
        reasons: Position of each value to what is wrong with it.
    """

    def __init__(self, reasons: dict[int, str]) -> None:
        """Make the error; see the attribute."""
        super().__init__(next(iter(reasons.values())))
        self.reasons = reasons


def table_of(rows: Iterable[Mapping[str, Any]], bad: BadRows) -> pa.Table:
    """Rows to a table with every field that occurs in any of them; absent fields become null.

    Args:
        rows: The rows, of which those that are noted in `bad` are empty.
        bad: What is done with a row that holds a value which no column can hold.

    Raises:
        FileFormatError: A field's name is no text; no row has a field; a row cannot be kept, and
            rows are not skipped.
    """
    chunks: list[pa.Table] = []
    iterator, seen, empty = iter(rows), 0, 0
    while chunk := list(islice(iterator, _CHUNK)):
        columns = _columns(chunk, seen, bad)
        seen += len(chunk)
        if not columns:  # a table without columns has no rows: they go with those before or after
            empty += len(chunk)
            continue
        if empty:
            first = next(iter(columns))
            chunks.append(pa.table({first: pa.nulls(empty)}))
            empty = 0
        chunks.append(pa.table(columns))
    if not chunks and not seen:
        return pa.table({})
    if not chunks:
        first_bad = next(iter(bad.found.values()), None)
        raise FileFormatError(
            f"{bad.name}: none of the {counted(seen, 'row')} has a field."
            if first_bad is None
            else f"{bad.name}: none of the {counted(seen, 'row')} can be read, the first for this "
            f"reason: {first_bad.reason}"
        )
    if empty:
        chunks.append(pa.table({chunks[0].column_names[0]: pa.nulls(empty)}))
    return unified(chunks, bad.name, array_of)


def array_of(values: list[Any]) -> pa.Array | pa.ChunkedArray:
    """An Arrow array that holds the values as they are.

    Raises:
        UnfitValuesError: Some of them fit into no array.
    """
    one_kind = _of_one_kind(values)
    if one_kind:
        try:
            return pa.array(values)
        except _REFUSALS as error:
            if _kinds(values) - {bool, int, float, str, list, dict}:
                raise _misfits(values, error) from None
    return _as_json(values)


def _columns(
    rows: list[Mapping[str, Any]], first: int, bad: BadRows
) -> dict[str, pa.Array | pa.ChunkedArray]:
    """The columns of some rows; a row that has no place in them is noted and left empty."""
    while True:
        fields = dict.fromkeys(field for row in rows for field in row)
        columns = {}
        misfits: dict[int, tuple[str, str]] = {}
        for field in fields:
            check_name(field, bad.name)
            try:
                columns[field] = array_of([row.get(field) for row in rows])
            except UnfitValuesError as error:
                for place, reason in error.reasons.items():
                    misfits.setdefault(place, (field, reason))
        if not misfits:
            return columns
        for place, (field, reason) in sorted(misfits.items()):
            problem = FileFormatError(
                f"field {field!r} cannot be kept: {reason}",
                remedy="Mend it, or leave the field out",
            )
            bad.add(first + place, problem, rows[place])
            rows[place] = {}


def check_name(field: object, name: str) -> None:
    """Refuse a field whose name cannot be that of a column.

    Args:
        field: The name.
        name: What the rows are called in messages.

    Raises:
        FileFormatError: It is no text that can be encoded as UTF-8.
    """
    try:
        str.encode(field, "utf-8")  # type: ignore[arg-type]
    except (TypeError, UnicodeEncodeError):
        raise FileFormatError(
            f"{name}: a field is named {shown(field)}; the names of fields have to be text that "
            "can be encoded as UTF-8."
        ) from None


def _kinds(values: Iterable[Any]) -> set[type]:
    """The kinds of the values; NumPy's numbers and arrays are of the kinds of Python's."""
    return {_kind(found) for found in set(map(type, values))} - {type(None)}


def _kind(found: type) -> type:
    bases: tuple[tuple[Any, type], ...] = (
        (bool | np.bool_, bool),
        (int | np.integer, int),
        (float | np.floating, float),
        (str, str),
        (list | tuple | np.ndarray, list),
        (Mapping, dict),
    )
    return next((kind for base, kind in bases if issubclass(found, base)), found)


def _of_one_kind(values: list[Any], levels: int = _DEEPEST, *, top: bool = True) -> bool:
    """Whether an Arrow type holds all the values, and gives back each as it is."""
    kinds = _kinds(values)
    if kinds == {dict}:
        objects = [value for value in values if value is not None]
        names = objects[0].keys()
        return (
            levels > 0
            and len(names) > 0
            and all(value.keys() == names for value in objects)
            and all(isinstance(name, str) for name in names)
            and all(
                _of_one_kind([value[name] for value in objects], levels - 1, top=False)
                for name in names
            )
        )
    if kinds == {list}:
        items = list(chain.from_iterable(value for value in values if value is not None))
        return levels > 0 and _of_one_kind(items, levels - 1, top=False)
    if kinds == {int, float} and top:
        return all(abs(int(n)) <= _EXACT for n in values if isinstance(n, int | np.integer))
    return len(kinds) <= 1


def _as_json(values: list[Any]) -> pa.Array | pa.ChunkedArray:
    lists = _kinds(values) == {list}
    texts: list[Any] = []
    reasons: dict[int, str] = {}
    for place, value in enumerate(values):
        try:
            if value is None:
                texts.append(None)
            elif lists:
                texts.append([None if item is None else json_text(item) for item in value])
            else:
                texts.append(json_text(value))
        except UnicodeEncodeError as error:
            reasons[place] = f"it holds half of a surrogate pair ({error.reason})"
        except (TypeError, ValueError) as error:
            reasons[place] = str(error)
    if reasons:
        raise UnfitValuesError(reasons)
    parts = list(_parts(texts))
    arrays = [json_list_array(part) if lists else json_array(part) for part in parts]
    return arrays[0] if len(arrays) == 1 else pa.chunked_array(arrays)


def _parts(texts: list[Any]) -> Iterator[list[Any]]:
    """The texts in parts that an Arrow array can hold."""
    size = sum(
        len(each) if isinstance(each, str) else sum(len(item or "") for item in each or ())
        for each in texts
    )
    if size <= _LONGEST or len(texts) == 1:
        yield texts
        return
    yield from _parts(texts[: len(texts) // 2])
    yield from _parts(texts[len(texts) // 2 :])


def _misfits(values: list[Any], error: Exception) -> UnfitValuesError:
    """The values that by themselves fit into no array; all of them, if each by itself would."""
    reasons = {}
    for place, value in enumerate(values):
        try:
            pa.array([value])
        except _REFUSALS as alone:
            reasons[place] = f"it is a {type(value).__name__} that no column holds ({alone})"
    everywhere = (i for i, value in enumerate(values) if value is not None)
    return UnfitValuesError(
        reasons or dict.fromkeys(everywhere, f"its values do not go together ({error})")
    )
