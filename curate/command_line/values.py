"""Values of options: text, YAML or JSON becomes what a parameter of the API takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from airrep.console.wording import shown
from airrep.errors import FileFormatError
from curate.configs.yaml_text import read_yaml

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_COLLECTIONS = {Mapping: "a mapping", Sequence: "a list"}
NpyFile = Annotated[str, msgspec.Meta(pattern=r"\.npy$")]
# What a command line can name of a type that is made in Python.
_NAMED_BY_FILES = {"OwnArray": NpyFile}


def kind_of(annotation: str, names: Mapping[str, Any]) -> Any:  # noqa: ANN401 (a type)
    """The part of an annotation that text can stand for, without other Python objects.

    Args:
        annotation: An annotation as it is written.
        names: What names in it mean; those that only type checkers import are left out.

    Example:
        >>> kind_of("str | Path | None", {"Path": object}) == str | None
        True
    """
    members: list[Any] = []
    for written in annotation.split(" | "):
        with suppress(NameError):
            members += _members(eval(written, {**names, **_NAMED_BY_FILES}))
    return Union[tuple(members)]  # noqa: UP007 (of a list)


def choices_of(kind: Any) -> list[str]:  # noqa: ANN401
    """The words that a type, or a list of it, is made of; none if it allows other text too."""
    return [] if any(each in _WORDS for each in _members(kind)) else _literals(kind)


def is_mapping(kind: Any) -> bool:  # noqa: ANN401
    """Whether a type is a mapping, whose keys may be given one by one."""
    return any(get_origin(each) is Mapping for each in _members(kind))


def from_tokens(kind: Any, _: object, tokens: Any) -> Any:  # noqa: ANN401
    """Convert what cyclopts found for an option: a token, or tokens by the keys below the option.

    Raises:
        ValueError: The value is not of the type; the message says what was expected.
    """
    if isinstance(tokens, Mapping):
        readings: list[Any] = [_by_keys(tokens, read) for read in (_yaml, str)]
        return _first_of_kind(readings, kind, readings[-1])
    typed = tokens[0].value
    return _first_of_kind([_yaml(typed), typed, _yaml(f"[{typed}]")], kind, typed)


def closest(word: object, words: Iterable[str]) -> str:
    """A question after the word that was probably meant, or nothing."""
    found = get_close_matches(str(word), sorted(words), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _members(found: Any) -> list[Any]:  # noqa: ANN401
    """Those types of a union that text can stand for."""
    if isinstance(found, str):  # an alias of many types, paths among them
        return [str]
    if get_origin(found) in (Union, UnionType):
        return [member for each in get_args(found) for member in _members(each)]
    if get_origin(found) is tuple:  # a pair of arrays
        return [Sequence[NpyFile]]
    plain = found in (*_WORDS, None, NoneType, NpyFile)
    return [found] if plain or get_origin(found) in (Literal, *_COLLECTIONS) else []


def _literals(kind: Any) -> list[str]:  # noqa: ANN401
    items = [get_args(each)[0] if get_origin(each) is Sequence else each for each in _members(kind)]
    words = [word for each in items if get_origin(each) is Literal for word in get_args(each)]
    return list(dict.fromkeys(words))


def _yaml(text: str) -> Any:  # noqa: ANN401
    """What a text says as YAML; if that is text, or nothing, the text as it was typed."""
    with suppress(FileFormatError):
        value = read_yaml(text)
        return text if isinstance(value, str) or not text.strip() else value
    return text


def _by_keys(tokens: Mapping[str, Any], read: Callable[[str], Any]) -> dict[str, Any]:
    return {
        key: _by_keys(below, read) if isinstance(below, Mapping) else read(below[0].value)
        for key, below in tokens.items()
    }


def _first_of_kind(readings: Sequence[Any], kind: Any, typed: object) -> Any:  # noqa: ANN401
    """The first way to read a value that is of a type."""
    members, problems = _members(kind), []
    for reading in readings:
        try:
            return _of_a_kind(reading, members)
        except msgspec.ValidationError as error:
            problems.append(str(error))
    named = {**_WORDS, NpyFile: "the name of a .npy file"}
    kinds = [named.get(each) or _COLLECTIONS.get(get_origin(each)) for each in members]
    words = [*filter(None, kinds), *filter(None, [", ".join(_literals(kind))])]
    inside = next((f" ({problem})" for problem in problems if " - at " in problem), "")
    question = closest(typed, _literals(kind))
    raise ValueError(f"expected {' or '.join(words)}; found {shown(typed)}{inside}{question}")


def _of_a_kind(value: Any, members: Sequence[Any]) -> Any:  # noqa: ANN401
    """The value as the first of the types that it is of; words and files mix in lists."""
    first: msgspec.ValidationError | None = None
    for member in members:
        try:
            if get_origin(member) is Sequence and NpyFile in members and isinstance(value, list):
                return [_of_a_kind(each, [*get_args(member), NpyFile]) for each in value]
            return msgspec.convert(value, member)
        except msgspec.ValidationError as error:
            first = error if first is None or " - at " in str(error) else first
    assert first is not None
    raise first
