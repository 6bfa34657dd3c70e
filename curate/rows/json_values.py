"""Values that fit no column of one type, kept as the JSON text of datasets' `Json` feature.

Datasets reads that text with a decoder of its own (pandas' ujson), which takes some decimal
notations for a neighboring number. So each value is decoded once as datasets will do it, and
numbers are written in another notation, or the value is refused, where it would come back as
another one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

JSON = pa.json_()
JSON_LIST = pa.list_(JSON)
DEEPEST = 200  # levels; Python's own reader and writer of JSON give up from 990 on
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?')


def json_text(value: Any) -> str:  # noqa: ANN401 (any value of a row)
    """The JSON text from which datasets reads the value itself.

    Raises:
        ValueError: There is none.
        TypeError: The value is no JSON.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except UnicodeEncodeError:
        raise
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError as error:
        known = "Circular" in str(error)
        raise ValueError(
            "it holds itself" if known else "it holds NaN or Infinity, which are no JSON"
        ) from None
    text.encode("utf-8")  # half of a surrogate pair ends here
    if text.count("[") + text.count("{") > DEEPEST and _depth(value) > DEEPEST:
        raise ValueError(_TOO_DEEP)
    if _read_back(text) != text:
        text = _TOKEN.sub(lambda token: _number(token[0]), text)
        if _read_back(text) != json.dumps(value, ensure_ascii=False, default=_plain):
            raise ValueError(
                "it holds a number that datasets cannot read as it is, beyond 64 bits for instance"
            )
    _check_names(value)
    return text


_TOO_DEEP = f"it is nested deeper than {DEEPEST} levels"


def json_array(values: Sequence[str | None]) -> pa.Array:
    """An Arrow array of JSON texts."""
    return pa.ExtensionArray.from_storage(JSON, pa.array(values, pa.string()))


def json_list_array(values: Sequence[Sequence[str | None] | None]) -> pa.Array:
    """An Arrow array of lists of JSON texts."""
    offsets = np.cumsum([0, *(len(value or ()) for value in values)], dtype=np.int32)
    missing = pa.array([value is None for value in values], pa.bool_())
    items = json_array([item for value in values for item in value or ()])
    return pa.ListArray.from_arrays(pa.array(offsets), items, mask=missing)


def holds_json(kind: pa.DataType) -> bool:
    """Whether JSON texts stand anywhere in values of this type."""
    if isinstance(kind, pa.JsonType):
        return True
    return any(holds_json(kind.field(i).type) for i in range(kind.num_fields))


def python_values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """A column's values, of JSON text what it stands for."""
    values: list[Any] = column.to_pylist()
    return [_decoded(value, column.type) for value in values] if holds_json(column.type) else values


def _decoded(value: Any, kind: pa.DataType) -> Any:  # noqa: ANN401 (any value of a row)
    if value is None or not holds_json(kind):
        return value
    if isinstance(kind, pa.JsonType):
        return json.loads(value)
    if isinstance(kind, pa.StructType):
        return {name: _decoded(each, kind.field(name).type) for name, each in value.items()}
    return [_decoded(each, kind.field(0).type) for each in value]


def _plain(value: object) -> object:
    """What json knows, for NumPy's numbers and arrays and for mappings that are no dict."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _as_datasets_reads(text: str) -> Any:  # noqa: ANN401 (whatever it holds)
    from datasets.utils.json import ujson_loads  # here, because datasets is slow to import

    return ujson_loads(text)


def _read_back(text: str) -> str | None:
    try:
        return json.dumps(_as_datasets_reads(text), ensure_ascii=False)
    except (ValueError, RecursionError):  # "Value is too big!"
        return None


def _depth(value: object) -> int:
    if isinstance(value, Mapping):
        value = list(value.values())
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list | tuple) else 0


def _check_names(value: object) -> None:
    """Refuse names of fields that are no text: json would make text of them without a word."""
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise TypeError(f"a field in it is named {name!r}, which is no text")
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            _check_names(each)


@lru_cache(maxsize=1 << 16)
def _number(token: str) -> str:
    """A notation that datasets reads as the number itself; other tokens as they are."""
    if token.startswith('"') or not set(".eE") & set(token):
        return token
    number = float(token)
    return next((each for each in _notations(number) if _is_read_as(each, number)), token)


def _is_read_as(notation: str, number: float) -> bool:
    try:
        found = _as_datasets_reads(notation)
    except ValueError:
        return False
    return isinstance(found, float) and found == number and float(notation) == number


def _notations(number: float) -> Iterator[str]:
    """The same number with its point elsewhere, and with more digits than it needs."""
    yield repr(number)
    for notation, changes in ((repr(number), (0,)), (f"{number:.17e}", (0, 1, -1, 2, -2, 3, -3))):
        sign, digits, exponent = Decimal(notation).as_tuple()
        for change in changes:
            mantissa = str(int("".join(map(str, digits))) + change)
            for place in range(1, len(mantissa) + 1):
                power = int(exponent) + len(mantissa) - place
                yield f"{'-' * sign}{mantissa[:place]}.{mantissa[place:] or 0}e{power}"
