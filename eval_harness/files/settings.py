"""A mapping, such as a YAML file holds, to a dataclass of settings; what is wrong is said where."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from sys import float_info
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from airrep.console.wording import shown
from airrep.errors import ArgumentError

T = TypeVar("T")


def read_settings(kind: type[T], values: Mapping[str, Any]) -> T:
    """The settings that a mapping describes; what it leaves out has its default.

    Raises:
        ArgumentError: An unknown or missing key, or a value of the wrong kind; says where.
    """
    made: T = _build(kind, values, "")
    return made


def map_settings(
    values: Mapping[str, Any], places: Sequence[str], function: Callable[[Any], Any]
) -> dict[str, Any]:
    """A copy in which `function` was applied to some settings, where they are given.

    Args:
        values: What a file holds, whatever it is.
        places: "pool", "encoder.backbone", "methods.*.encoder" (of every method).
        function: Value to value.
    """
    made = dict(values)
    for place in places:
        made = _mapped(made, place.split("."), function)
    return made


def at_least(settings: object, where: str, least: int, *names: str) -> None:
    """Refuse fields of `settings` that are smaller than `least`.

    Raises:
        ArgumentError: One is; says which, `where` it is, and what was found.
    """
    for name in names:
        if (value := getattr(settings, name)) < least:
            place = f"{where}.{name}".lstrip(".")
            raise ArgumentError(f"{place}: expected {least} or more, found {value}.")


def _mapped(values: Any, keys: Sequence[str], function: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    if not keys:
        return function(values)
    if not isinstance(values, dict):
        return values
    chosen = list(values) if keys[0] == "*" else [key for key in values if key == keys[0]]
    return values | {key: _mapped(values[key], keys[1:], function) for key in chosen}


def _build(kind: Any, values: Any, where: str) -> Any:  # noqa: ANN401 (any dataclass)
    name = where or "the config"
    if not isinstance(values, Mapping):
        raise ArgumentError(f"{name}: expected a mapping of settings, found {values!r}.")
    types_of = get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}
    unknown = sorted(set(map(str, values)) - set(known))
    if unknown:
        raise ArgumentError(
            f"{name}: setting {unknown[0]!r} is unknown; there are {', '.join(known)}."
        )
    given = {
        key: _value(types_of[key], value, f"{where}.{key}".lstrip("."))
        for key, value in values.items()
    }
    try:
        return kind(**given)
    except TypeError as error:
        missing = str(error).rpartition(": ")[2]
        raise ArgumentError(f"{name}: a setting is missing: {missing}.") from error


def _value(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401
    options = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    if value is None and type(None) in options:
        return None
    kind = _kind_for(value, [option for option in options if option is not type(None)])
    origin = get_origin(kind)
    if is_dataclass(kind):
        return _build(kind, value, where)
    if origin is Literal:
        if value in get_args(kind):
            return value
        raise ArgumentError(f"{where}: {value!r} is unknown; choose {', '.join(get_args(kind))}.")
    if origin is list and isinstance(value, list):
        return [_value(get_args(kind)[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is dict and isinstance(value, Mapping):
        item_kind = get_args(kind)[1]
        return {str(k): _value(item_kind, item, f"{where}.{k}") for k, item in value.items()}
    if kind is Any:
        return value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(value, where)
    if kind in (int, str) and isinstance(value, kind) and not isinstance(value, bool):
        return value
    wanted = getattr(kind, "__name__", str(kind))
    raise ArgumentError(f"{where}: expected {wanted}, found {value!r}.")


def _kind_for(value: Any, kinds: Sequence[Any]) -> Any:  # noqa: ANN401 (any type)
    """Of a union's kinds: one of words if the value is such a word, else the first other one."""
    words = [kind for kind in kinds if get_origin(kind) is Literal]
    fitting = [kind for kind in words if isinstance(value, str) and value in get_args(kind)]
    return next(iter([*fitting, *(kind for kind in kinds if kind not in words), *kinds]))


def _finite(value: float, where: str) -> float:
    """A number that can be computed with; every comparison with a NaN would let it pass."""
    if not abs(value) <= float_info.max:  # integers can be larger
        raise ArgumentError(f"{where}: expected a finite number, found {shown(value, 40)}.")
    return float(value)
