"""Tables of the same rows, or of several files, to one table; no value becomes another one."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import reduce
from typing import Any, TypeAlias

import pyarrow as pa
from pyarrow import types

from airrep.errors import FileFormatError
from curate.rows.json_values import JSON, holds_json, python_values

_Array: TypeAlias = pa.Array | pa.ChunkedArray
_FEATURES = b"huggingface"  # key of datasets' own metadata


def unified(tables: list[pa.Table], name: str, array_of: Callable[[list[Any]], _Array]) -> pa.Table:
    """The rows of all tables, with every column of any; columns that a table lacks become null.

    A column of several types is of the one that holds them all as they are, and JSON otherwise.

    Args:
        tables: One or more.
        name: What they are called in messages.
        array_of: Makes an array of values of any kinds.

    Raises:
        FileFormatError: A column's values fit into no column together.
    """
    if len(tables) == 1 or all(table.schema.equals(tables[0].schema) for table in tables):
        return pa.concat_tables(tables)
    columns = {}
    for field in dict.fromkeys(field for table in tables for field in table.column_names):
        parts = [
            table[field] if field in table.column_names else pa.nulls(table.num_rows)
            for table in tables
        ]
        try:
            columns[field] = _joined(parts, array_of)
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            kinds = ", ".join(dict.fromkeys(str(part.type) for part in parts))
            raise FileFormatError(
                f"{name}: the column {field!r} is of types that do not go together: {kinds} "
                f"({error})."
            ) from error
    return pa.table(columns).replace_schema_metadata(_metadata(tables))


def _joined(parts: list[_Array], array_of: Callable[[list[Any]], _Array]) -> pa.ChunkedArray:
    kind = reduce(_common, (part.type for part in parts))
    as_they_are = (kind, pa.null())
    if kind is not None and not (
        holds_json(kind) and any(part.type not in as_they_are for part in parts)
    ):
        try:
            return _chunked([_cast(part, kind) for part in parts], kind)
        except pa.ArrowInvalid:  # a whole number that no float can hold, say
            pass
    values = [value for part in parts for value in python_values(part)]
    made = array_of(values)
    return made if isinstance(made, pa.ChunkedArray) else pa.chunked_array([made])


def _chunked(parts: list[_Array], kind: pa.DataType) -> pa.ChunkedArray:
    chunks = [c for part in parts for c in (part.chunks if hasattr(part, "chunks") else [part])]
    return pa.chunked_array(chunks, kind)


def _cast(part: _Array, kind: pa.DataType) -> _Array:
    if part.type == kind:
        return part
    if types.is_null(part.type):
        return pa.nulls(len(part), kind)
    if types.is_nested(kind):
        return pa.array(part.to_pylist(), kind)
    return part.cast(kind)


def _common(one: pa.DataType | None, other: pa.DataType | None) -> pa.DataType | None:
    """The type that holds values of both as they are; None if there is none."""
    return _common_below(one, other, top=True)


def _common_below(
    one: pa.DataType | None, other: pa.DataType | None, *, top: bool
) -> pa.DataType | None:
    if one is None or other is None:
        return None
    one, other = (k.value_type if types.is_dictionary(k) else k for k in (one, other))
    if one == other or types.is_null(other):
        return one
    if types.is_null(one):
        return other
    if _is_text(one) and _is_text(other):
        return pa.large_string()
    if _is_number(one) and _is_number(other):
        return _common_number(one, other, top=top)
    if _is_list(one) and _is_list(other):
        return _common_list(one, other)
    if types.is_struct(one) and types.is_struct(other):
        return _common_struct(one, other)
    if top and not any(map(_is_json, (one, other))):
        return _common_scalar(one, other)
    return None


def _common_number(one: pa.DataType, other: pa.DataType, *, top: bool) -> pa.DataType | None:
    """Whole numbers and fractions are one only in a column by themselves, not below."""
    floats = [types.is_floating(kind) for kind in (one, other)]
    if not any(floats):
        return pa.int64()
    return pa.float64() if top or all(floats) else None


def _common_list(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    items = _common_below(one.value_type, other.value_type, top=False)
    large = types.is_large_list(one) or types.is_large_list(other)
    return None if items is None else pa.large_list(items) if large else pa.list_(items)


def _common_struct(one: pa.StructType, other: pa.StructType) -> pa.DataType | None:
    names = [field.name for field in one]
    if len({*names}) < len(names) or {*names} != {field.name for field in other}:
        return None
    kinds = [_common_below(one.field(n).type, other.field(n).type, top=False) for n in names]
    if any(kind is None for kind in kinds):
        return None
    return pa.struct(list(zip(names, kinds, strict=True)))


def _common_scalar(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Of dates, decimals and bytes what Arrow holds both in; of the others there is none."""
    plain = (types.is_temporal, types.is_decimal, types.is_binary, types.is_large_binary)
    if not all(any(is_one(kind) for is_one in plain) for kind in (one, other)):
        return None
    schemas = [pa.schema([pa.field("x", kind)]) for kind in (one, other)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field("x").type
    except pa.ArrowException:
        return None


def _is_number(kind: pa.DataType) -> bool:
    return types.is_integer(kind) or types.is_floating(kind)


def _is_text(kind: pa.DataType) -> bool:
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _is_list(kind: pa.DataType) -> bool:
    return types.is_list(kind) or types.is_large_list(kind)


def _is_json(kind: pa.DataType) -> bool:
    return bool(kind == JSON)


def _metadata(tables: list[pa.Table]) -> dict[bytes, bytes] | None:
    """Datasets' features of all tables; datasets ignores those of columns of another type."""
    features: dict[str, Any] = {}
    for table in reversed(tables):
        found = (table.schema.metadata or {}).get(_FEATURES)
        if found is not None:
            try:
                features |= json.loads(found)["info"]["features"]
            except (KeyError, TypeError, ValueError):  # damaged, or another program's
                continue
    return {_FEATURES: json.dumps({"info": {"features": features}}).encode()} if features else None
