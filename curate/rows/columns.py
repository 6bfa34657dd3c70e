"""Rows to the columns of an Arrow table; a row or a field that fits into none is named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import pyarrow as pa

from airrep.console.wording import counted, shown
from airrep.errors import FileFormatError

_CHUNK = 10_000
# Deeper, Arrow and datasets give up one by one, each in its way, from 50 levels on.
_DEEPEST = 32


def table_of(rows: Iterable[Mapping[str, Any]], name: str) -> pa.Table:
    """Rows to a table with every field that occurs in any of them; absent fields become null.

    Raises:
        FileFormatError: A field's name is no text, a value cannot be kept in a column, or a field
            holds values of kinds that no column can hold together; no row has a field.
    """
    chunks: list[pa.Table] = []
    iterator, seen, empty = iter(rows), 0, 0
    while chunk := list(islice(iterator, _CHUNK)):
        fields = dict.fromkeys(field for row in chunk for field in row)
        if not fields:  # a table without columns has no rows: they go with those before or after
            empty += len(chunk)
            continue
        chunk, empty = [{}] * empty + chunk, 0
        columns = {f: _column([row.get(f) for row in chunk], f, name, seen) for f in fields}
        chunks.append(pa.table(columns))
        seen += len(chunk)
    if empty and not chunks:
        raise FileFormatError(f"{name}: none of the {counted(empty, 'row')} has a field.")
    if empty:
        chunks.append(pa.table({chunks[0].column_names[0]: pa.nulls(empty)}))
    if not chunks:
        return pa.table({})
    try:
        return pa.concat_tables(chunks, promote_options="permissive")
    except pa.ArrowException as error:
        raise FileFormatError(
            f"{name}: a field changes its type along the rows ({error})."
        ) from error


def _column(values: list[Any], field: str, name: str, first: int) -> pa.Array:
    _check_name(field, name)
    for number, value in enumerate(values):
        if isinstance(value, dict | list | tuple) and not _shallow(value, _DEEPEST):
            raise FileFormatError(
                f"{name}: field {field!r} of row {first + number} (counting from 0) is nested "
                f"deeper than {_DEEPEST} levels. Flatten it, or leave the field out."
            )
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"{name}: field {field!r} {_trouble(values, first, error)}"
        ) from error


def _check_name(field: object, name: str) -> None:
    try:
        str.encode(field, "utf-8")  # type: ignore[arg-type]
    except (TypeError, UnicodeEncodeError):
        raise FileFormatError(
            f"{name}: a field is named {shown(field)}; the names of fields have to be text that "
            "can be encoded as UTF-8."
        ) from None


def _shallow(value: Any, levels: int) -> bool:  # noqa: ANN401 (any value of a row)
    """Whether lists and mappings stand in one another no more than so many levels deep."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return True
    return levels > 0 and all(_shallow(each, levels - 1) for each in value)


def _trouble(values: list[Any], first: int, error: Exception) -> str:
    """Which value no column can keep; or, if each by itself could be, which do not go together."""
    kinds: dict[str, int] = {}
    for number, value in enumerate(values):
        if value is None:
            continue
        kinds.setdefault(type(value).__name__, first + number)
        try:
            pa.array([value])
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as alone:
            return (
                f"of row {first + number} (counting from 0) holds what a column cannot: "
                f"{type(value).__name__} ({alone}). Mend it, or leave the field out."
            )
    found = ", ".join(f"{kind} (row {row})" for kind, row in kinds.items())
    return (
        f"holds values that do not go together: {found}; rows count from 0 ({error}). Make them "
        "one type."
    )
