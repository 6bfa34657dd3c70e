"""Objectives of selectors, and their values after every pick.

Without layers, with O(n) the objective of the first n picks and O(0) that of none:

    gain of pick n  =  O(n) - O(n-1)   where a higher value is better, else  O(n-1) - O(n)

so that gains add up to the whole change. A layer is a group of its own: with its first pick the
objective starts anew, from O(0).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Objective:
    """A number that a selector wants high, or low.

    Attributes:
        name: A short name, such as "distance".
        meaning: What the number is, in words that follow "is the".
        better: Which values are better.
    """

    name: str
    meaning: str
    better: Better = "higher"

    def __post_init__(self) -> None:
        if self.better not in get_args(Better):
            raise ValueError(f"better is {self.better!r}, expected higher or lower")

    @property
    def sign(self) -> int:
        """1 where higher values are better, else -1."""
        return 1 if self.better == "higher" else -1


@dataclass(frozen=True, eq=False)
class ObjectiveCurve:
    """The values of an objective along a selection.

    Attributes:
        objective: Which one.
        start: Its value of no rows.
        values: (k,) float64, after each pick; in a layered selection of the pick's layer alone.
    """

    objective: Objective
    start: float
    values: npt.NDArray[np.float64]

    @classmethod
    def adding_up(
        cls, objective: Objective, gains: npt.NDArray[np.float64], layers: npt.NDArray[np.int64]
    ) -> ObjectiveCurve:
        """Of an objective that is 0 of no rows, from the change with each pick.

        Args:
            objective: Which one; higher is better.
            gains: (k,) the changes.
            layers: (k,) the picks' layers, ascending.
        """
        values = np.empty(len(gains))
        for layer in np.unique(layers):
            values[layers == layer] = np.cumsum(gains[layers == layer])
        return cls(objective, 0.0, values)

    def before(self, layers: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """(k,) the value before each pick: `start` where the pick's layer begins."""
        shifted = np.append(self.start, self.values[:-1])
        return np.where(np.diff(layers, prepend=-1) > 0, self.start, shifted)

    @property
    def stated(self) -> dict[str, Any]:
        """Its name, what it is, which values are better, and its value of no rows; for JSON."""
        return {**asdict(self.objective), "start": self.start}

    def first(self, n: int) -> ObjectiveCurve:
        """Of the first n picks."""
        return replace(self, values=self.values[:n])
