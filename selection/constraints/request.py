"""A user's constraints, checked as far as that goes without a pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np

from airrep.errors import ArgumentError

Amount = int | float
EVERY_OTHER = "*"
_MOST = 2**63 - 1
_FINEST = 1_000_000  # shares are read to six decimals: 0.1 is a tenth, 0.333333 a third


@dataclass(frozen=True)
class Constraints:
    """What a selection has to keep to. What is left out does not bind.

    An amount is a whole number of rows, or a fraction in (0, 1], a share: of the k rows, or, with
    max_tokens, of those tokens.

    Attributes:
        max_tokens: Token budget of all chosen rows together.
        max_per_source: Source to the most that may come from it; "*" is each source not named, and
            "" the rows that name no source.
        min_per_source: Source to the least that has to come from it; no shares beside max_tokens.
        min_per_target: Least that each target has to earn, or target id to that ("*": each target
            not named); no shares beside max_tokens. Targets of weight 0 earn nothing.
        include: Ids of rows that have to be in. They are chosen first.
        exclude: Ids of rows that must not be in.

    Example:
        >>> asked = Constraints(max_per_source={"*": 0.5}, exclude=[3])
        >>> asked.to_dict()["exclude"]
        ['3']
    """

    max_tokens: int | None = None
    max_per_source: Mapping[str, int | float] | None = None
    min_per_source: Mapping[str, int | float] | None = None
    min_per_target: int | float | Mapping[str, int | float] | None = None
    include: Sequence[str | int] = ()
    exclude: Sequence[str | int] = ()

    def __post_init__(self) -> None:
        if self.max_tokens is not None:
            _check_whole(self.max_tokens, "max_tokens", least=1)
        for name in ("max_per_source", "min_per_source", "min_per_target"):
            object.__setattr__(self, name, _amounts(getattr(self, name), name))
        for name in ("include", "exclude"):
            object.__setattr__(self, name, _ids(getattr(self, name), name))
        both = [row for row in self.include if row in set(self.exclude)]
        if both:
            raise ArgumentError(
                f"constraints: row {both[0]!r} is in include and in exclude"
                f"{_and_more(len(both) - 1)}; take it out of one of them."
            )

    @classmethod
    def of(cls, given: Constraints | Mapping[str, Any]) -> Constraints:
        """Constraints, or the fields that a config file holds.

        Raises:
            ArgumentError: An unknown field, or a value that cannot be right.
        """
        if isinstance(given, Constraints):
            return given
        if not isinstance(given, Mapping):
            raise ArgumentError(
                f"constraints should be Constraints or a mapping, found {type(given).__name__}."
            )
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise ArgumentError(
                    f"constraints: {name!r} is unknown; choose from {', '.join(known)}."
                )
        return cls(**{name: value for name, value in given.items() if value is not None})

    def to_dict(self) -> dict[str, Any]:
        """The fields that bind, as plain values for JSON; `of` reads them back."""
        plain: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Mapping):
                plain[field.name] = dict(value)
            elif isinstance(value, tuple):
                plain[field.name] = list(value)
            else:
                plain[field.name] = value
        return {name: value for name, value in plain.items() if value not in (None, [], {})}


def is_share(amount: Amount) -> bool:
    """Whether an amount is a fraction of something, not a number of rows."""
    return not isinstance(amount, int)


def at_most(amount: Amount, whole: int) -> int:
    """The largest whole number that the amount allows; shares are of `whole`."""
    if isinstance(amount, int):
        return amount
    share = Fraction(amount).limit_denominator(_FINEST) * whole
    return share.numerator // share.denominator


def at_least(amount: Amount, whole: int) -> int:
    """The smallest whole number that the amount asks for; shares are of `whole`."""
    if isinstance(amount, int):
        return amount
    share = Fraction(amount).limit_denominator(_FINEST) * whole
    return -(-share.numerator // share.denominator)


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names for a message, of long lists the first ones."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown + _and_more(len(names) - most)


def _and_more(count: int) -> str:
    return f" (and {count:,} more)" if count > 0 else ""


def _amounts(given: object, name: str) -> Any:  # noqa: ANN401 (one amount, a mapping, or None)
    if given is None:
        return None
    if isinstance(given, Mapping):
        return {str(key): _amount(value, f"{name}[{key!r}]") for key, value in given.items()}
    if name == "min_per_target":
        return _amount(given, name)
    raise ArgumentError(
        f"constraints: {name} should map sources to amounts, found {given!r}; for every source "
        f'write {{"{EVERY_OTHER}": {given!r}}}.'
    )


def _amount(value: object, where: str) -> Amount:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ArgumentError(
            f"constraints: {where} should be a number of rows or a share, found {value!r}."
        )
    if isinstance(value, int | np.integer):
        _check_whole(value, where, least=0)
        return int(value)
    share = float(value)
    if not 1 / _FINEST <= share <= 1:
        raise ArgumentError(
            f"constraints: {where} is {share}; a share lies in (0, 1], and is read to six decimals."
            " For a number of rows, write it without a decimal point."
        )
    return share


def _check_whole(value: object, where: str, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ArgumentError(
            f"constraints: {where} should be a whole number >= {least}, found {value!r}."
        )
    if value > _MOST:
        raise ArgumentError(f"constraints: {where} is larger than {_MOST}, the most there can be.")


def _ids(given: object, name: str) -> tuple[str, ...]:
    if given is None:
        return ()
    if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray):
        raise ArgumentError(f"constraints: {name} should be a list of row ids, found {given!r}.")
    return tuple(dict.fromkeys(str(row) for row in given))
