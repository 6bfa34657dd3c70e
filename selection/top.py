"""The n best, and of equal ones those that come first: one definition for all that ranks rows."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]


def largest(values: npt.NDArray[np.floating], n: int, rows: Int64 | None = None) -> Int64:
    """Places of the n largest values, the largest first; of equal ones that of the first row.

    Args:
        values: (m,), no NaN.
        n: How many; all of them if there are fewer.
        rows: (m,) where the values stand in the pool; default their places.

    Example:
        >>> largest(np.array([1.0, 3.0, 3.0, 2.0]), 3).tolist()
        [1, 2, 3]
    """
    among = np.arange(len(values))
    if 0 < n < len(values):  # all that tie with the last one, too
        last = np.partition(values, len(values) - n)[len(values) - n]
        among = np.flatnonzero(values >= last)
    places = among if rows is None else rows[among]
    return among[np.lexsort((places, -values[among]))[:n]]


class TargetRows(NamedTuple):
    """For each target some pool rows, in order; of equal scores the first row comes first.

    Attributes:
        rows: (T, n) positions in the pool.
        scores: (T, n) their scores for the target.
    """

    rows: Int64
    scores: npt.NDArray[np.float32]

    @classmethod
    def nothing(cls, targets: int) -> Self:
        """No rows, for so many targets."""
        return cls(np.empty((targets, 0), np.int64), np.empty((targets, 0), np.float32))

    def joined(self, rows: Int64, scores: npt.NDArray[np.float32], n: int) -> TargetRows:
        """The n best of these and of others.

        Args:
            rows: (m,) or (T, m) positions of the others.
            scores: (T, m) their scores.
            n: How many for each target.
        """
        targets, before = self.rows.shape
        rows, full = np.broadcast_to(rows, scores.shape), before >= n > 0
        size = min(n, before + scores.shape[1])
        found = TargetRows(
            np.empty((targets, size), np.int64), np.empty((targets, size), np.float32)
        )
        for x, line in enumerate(scores):
            mine, values = self.rows[x], self.scores[x]
            # where all places are taken, only what reaches the last one gets in
            among = np.flatnonzero(line >= values[-1]) if full else slice(None)
            mine = np.concatenate([mine, rows[x, among]])
            values = np.concatenate([values, line[among]])
            order = largest(values, n, mine)
            found.rows[x], found.scores[x] = mine[order], values[order]
        return found
