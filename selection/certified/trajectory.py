"""The decisions of a greedy: at each, the state of the group and what a row had to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from selection.group import GroupInfluence

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """S decisions with a group that was not empty, in order, and E with an empty one.

    For target x, weight w_x, adding a row of score s to the group of decision t gains
    w_x (s - f) / (1 + D exp(-τ|s|)); summed over targets, that has to exceed the threshold.

    Attributes:
        values: (S, T) f, the group's influence on each target.
        log_denominators: (S, T) log D.
        thresholds: (S,) the gain that was picked, or the most that counts as none when a layer
            closed.
        picked: (S,) the row that was picked; of equal gains the first row is. -1: a layer closed.
        ranks: (S,) how many rows had been picked before.
        empty_thresholds: (E,) gains picked into an empty group, where a row's gain is its mean.
        empty_picked: (E,) the rows.
        empty_ranks: (E,) how many had been picked before.
    """

    values: Float64
    log_denominators: Float64
    thresholds: Float64
    picked: Int64
    ranks: Int64
    empty_thresholds: Float64
    empty_picked: Int64
    empty_ranks: Int64


class Recorder:
    """Takes down the decisions of `grow`."""

    def __init__(self, group: GroupInfluence, rank: int) -> None:
        """`rank`: how many rows are picked before the first decision."""
        self._group, self._rank = group, rank
        self._states: list[tuple[Float64, Float64]] = []
        self._full: list[tuple[float, int, int]] = []
        self._empty: list[tuple[float, int, int]] = []

    def __call__(self, row: int | None, gain: float) -> None:
        """See `grow`."""
        entry = (gain, -1 if row is None else row, self._rank)
        if self._group.size:
            self._states.append((self._group.values, self._group.log_denominator))
            self._full.append(entry)
        else:
            self._empty.append(entry)
        self._rank += row is not None

    def trajectory(self, rows: Int64) -> Trajectory:
        """All of it; `rows`: where the candidates are in the pool."""
        targets = len(self._group.values)
        states = np.array(self._states, dtype=np.float64).reshape(-1, 2, targets)
        return Trajectory(
            states[:, 0], states[:, 1], *_columns(self._full, rows), *_columns(self._empty, rows)
        )


def _columns(entries: list[tuple[float, int, int]], rows: Int64) -> tuple[Float64, Int64, Int64]:
    table = np.array(entries, dtype=np.float64).reshape(-1, 3)
    picked = table[:, 1].astype(np.int64)
    return table[:, 0], np.where(picked < 0, -1, rows[picked]), table[:, 2].astype(np.int64)
