"""A mapping, such as a YAML file holds, to a dataclass of settings; and settings by their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from airrep.console.wording import shown
from airrep.errors import ArgumentError
from airrep.schema import check_names, converted

T = TypeVar("T")


def read_settings(kind: type[T], values: Mapping[str, Any]) -> T:
    """The settings that a mapping describes; what it leaves out has its default.

    Raises:
        ArgumentError: An unknown or missing key, or a value of the wrong kind; says where.
    """
    if not isinstance(values, Mapping):
        raise ArgumentError(f"the config: expected a mapping of settings, found {shown(values)}.")
    check_names(values, kind)
    return converted(values, kind)


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


def _mapped(values: Any, keys: Sequence[str], function: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    if not keys:
        return function(values)
    if not isinstance(values, dict):
        return values
    chosen = list(values) if keys[0] == "*" else [key for key in values if key == keys[0]]
    return values | {key: _mapped(values[key], keys[1:], function) for key in chosen}
