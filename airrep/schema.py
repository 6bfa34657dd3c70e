"""Values of a config or a file, checked against the annotations of the class that they fill.

msgspec converts and checks. Of what it refuses, this module finds the innermost value that is
wrong, and says where that is, what was expected and what was found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache
from itertools import chain
from sys import float_info
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from msgspec import Meta, ValidationError, convert

from airrep.console.wording import shown
from airrep.errors import ArgumentError, CurateError

T = TypeVar("T")
_MOST = float_info.max  # with a bound neither NaN nor infinity is let through
Natural = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
Finite = Annotated[float, Meta(ge=-_MOST, le=_MOST)]
Amount = Annotated[float, Meta(ge=0, le=_MOST)]
Positive = Annotated[float, Meta(gt=0, le=_MOST)]
Share = Annotated[float, Meta(ge=0, le=1)]
_WORDS = {"object": "a mapping", "array": "a list", " | ": " or ", "`": ""}  # for msgspec's


def converted(value: object, kind: type[T], place: str = "") -> T:
    """The value as its annotation wants it; a whole number can stand where a float is wanted.

    Args:
        value: What a file holds, or an instance of a dataclass, which stays as it is.
        kind: A type, or a dataclass whose fields say what they hold. Keys that it does not know
            are ignored (see `check_names`).
        place: Where the value stands, for the message: "encoder.backbone".

    Raises:
        ArgumentError: It is of another kind, or out of range; says where.
    """
    try:
        return convert(value, kind)
    except ValidationError as error:
        if isinstance(error.__cause__, CurateError):
            raise error.__cause__ from None  # of a dataclass's own check
        for part, its_kind, name in _parts(value, kind):
            converted(part, its_kind, f"{place}{name}".lstrip("."))
        raise ArgumentError(_problem(str(error), value, kind), where=place or None) from None


def check_fields(instance: Any, place: str) -> None:  # noqa: ANN401 (any dataclass)
    """Refuse a dataclass's fields that are not what their annotations say.

    Raises:
        ArgumentError: One is not; says which, and what was expected.
    """
    for name, kind in hints(instance.__class__).items():
        converted(getattr(instance, name), kind, f"{place}.{name}".lstrip("."))


def check_names(values: object, kind: Any, place: str = "") -> None:  # noqa: ANN401 (a type)
    """Refuse keys that no field of a dataclass, or of one inside it, is called.

    Raises:
        ArgumentError: There is one; says where, and lists those that are known.
    """
    described = _dataclass_in(kind)
    if described is None or not isinstance(values, Mapping):
        return
    known = hints(described)
    for name, value in values.items():
        if name not in known:
            raise ArgumentError(
                f"setting {shown(str(name))} is unknown; there are {', '.join(known)}",
                where=place or "the config",
            )
        check_names(value, known[name], f"{place}.{name}".lstrip("."))


@cache
def hints(kind: Any) -> dict[str, Any]:  # noqa: ANN401
    """A class's fields and their annotations."""
    return get_type_hints(kind, include_extras=True)


def _parts(value: object, kind: Any) -> Iterator[tuple[object, Any, str]]:  # noqa: ANN401
    """The values inside a value, with the kind and the name of each."""
    described = _dataclass_in(kind)
    bare = next((each for each in _options(kind) if get_origin(each) in (list, tuple, dict)), None)
    if described is not None and isinstance(value, Mapping):
        known = hints(described)
        yield from ((name, str, "") for name in value)
        yield from ((value[name], known[name], f".{name}") for name in known if name in value)
    elif get_origin(bare) in (list, tuple) and isinstance(value, list | tuple):
        yield from ((part, get_args(bare)[0], f"[{i}]") for i, part in enumerate(value))
    elif get_origin(bare) is dict and isinstance(value, Mapping):
        for name, part in value.items():
            yield name, get_args(bare)[0], ""
            yield part, get_args(bare)[1], f".{name}"


def _options(kind: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """The types of a union, or the one that a type is; without their bounds."""
    if get_origin(kind) is Annotated:
        return _options(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return tuple(option for each in get_args(kind) for option in _options(each))
    return (kind,)


def _dataclass_in(kind: Any) -> Any:  # noqa: ANN401
    """The dataclass that a type is, or that it is or None."""
    return next((each for each in _options(kind) if is_dataclass(each)), None)


def _problem(said: str, value: object, kind: Any) -> str:  # noqa: ANN401
    """What msgspec says of a value, in the words of the other messages."""
    text = said.partition(" - at ")[0].partition(", got")[0]
    if "missing required field" in text:
        return f"{text.split('`')[1]!r} is missing"
    if text.startswith("Invalid enum value"):
        options = [
            get_args(e) if get_origin(e) is Literal else [e.__name__] for e in _options(kind)
        ]
        text = f"expected one of {', '.join(map(str, chain(*options)))}"
    elif "out of range" in text or f"{_MOST}" in text:
        text = "expected a finite number"
    for word, ours in _WORDS.items():
        text = text.replace(word, ours)
    return f"{text[:1].lower()}{text[1:]}, found {shown(value)}"
