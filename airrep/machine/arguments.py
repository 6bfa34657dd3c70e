"""Validate numbers that users pass: counts, seeds, lists of numbers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from airrep.errors import ArgumentError


def check_seed(seed: int) -> None:
    """Refuse a seed that no generator takes.

    Raises:
        ArgumentError: It is not a whole number >= 0.
    """
    if not _whole(seed) or seed < 0:
        raise ArgumentError(f"seed should be a whole number >= 0, found {seed!r}.")


def check_count(value: int, name: str) -> None:
    """Refuse what counts nothing.

    Args:
        value: Whatever was passed.
        name: Name of the argument, for the message.

    Raises:
        ArgumentError: It is not a whole number >= 1.
    """
    if not _whole(value):
        raise ArgumentError(f"{name} should be a whole number, found {value!r}.")
    if value < 1:
        raise ArgumentError(f"{name} should be >= 1, found {value}.")


def numbers(values: Iterable[float], name: str) -> list[float]:
    """The values as floats.

    Args:
        values: Whatever was passed.
        name: Name of the argument, for the message.

    Raises:
        ArgumentError: They cannot be iterated over, or one of them is no number.
    """
    try:
        given = list(values)
    except TypeError:
        raise ArgumentError(f"{name}: expected a list of numbers, found {values!r}.") from None
    for place, value in enumerate(given):
        if not isinstance(value, int | float | np.number):
            raise ArgumentError(f"{name}: expected numbers, found {value!r} at position {place}.")
    return [float(value) for value in given]


def _whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
