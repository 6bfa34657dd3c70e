"""The arguments of a run, as a manifest keeps them and a config file repeats them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airrep.disk.paths import user_path
from airrep.machine.arguments import numbers
from airrep.records import with_roles
from selection.constraints import Constraints

_ROWS = ("pool", "targets", "test")  # arguments that can be several paths
_PATHS = ("pool", "targets", "test", "encoder", "model", "store")  # arguments that can be one


def replayable(call: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call that a config file can hold: paths made absolute, objects left out.

    Args:
        call: Names and values; those of no account for the result are left out as well.
    """
    arguments: dict[str, Any] = {}
    for name, value in call.items():
        if name in ("output", "overwrite", "progress", "engine"):
            continue
        kept = _absolute(name, value)
        if isinstance(kept, str | int | float | None):
            arguments[name] = kept
        elif name in ("scorer", "rescore", "encoder") and isinstance(value, Sequence):
            parts = [_absolute(name, each) for each in value]
            arguments |= {name: parts} if all(isinstance(each, str) for each in parts) else {}
        elif name in ("columns", "target_columns", "roles"):
            arguments[name] = dict(value)
        elif name in _ROWS and (places := _places(value)):
            arguments[name] = places
        elif name == "constraints":
            arguments[name] = Constraints.of(value).to_dict()
        elif name == "weights":
            arguments[name] = numbers(value, name)
    return arguments


def columns_of(arguments: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How the pool's rows are read, of a manifest's arguments."""
    return with_roles(arguments.get("columns"), arguments.get("roles"))


def _absolute(name: str, value: Any) -> Any:  # noqa: ANN401 (any argument)
    """The value; where it is a path that leads somewhere, that place."""
    path = isinstance(value, str | Path) and (name in _PATHS or str(value).endswith(".npy"))
    place = _place(value) if path else None
    return value if place is None else str(place)


def _places(value: Any) -> list[str]:  # noqa: ANN401 (any rows)
    """Where several paths lead; nothing if there is anything else among them."""
    if not isinstance(value, list | tuple):
        return []
    found = [_place(each) if isinstance(each, str | Path) else None for each in value]
    return [] if None in found else list(map(str, found))


def _place(path: str | Path) -> Path | None:
    """Where a path leads; None if nothing is there, and it may be something else's name."""
    try:
        found = user_path(path, "path")
        return found.resolve() if found.exists() else None
    except (OSError, ValueError):  # too long to be a path, or none
        return None
