"""One pass over the scores: who the candidates are, and what is known of all other rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from selection.certified.blocks import map_blocks
from selection.group import weighted_sum
from selection.scores import Float32, Scores

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Survey:
    """What one pass found; of T targets and N pool rows.

    Attributes:
        candidates: Positions, ascending, of each target's best rows and those of the largest mean.
        means: (N,) weighted mean score of every row: its gain in an empty group.
        lowest: (T,) smallest score of each target.
        highest: (T,) no row but the candidates has a larger score for the target.
        peaks: (T,) largest |score| of each target.
    """

    candidates: Int64
    means: Float64
    lowest: Float64
    highest: Float64
    peaks: Float64


def survey(scores: Scores, share: Float64, per_target: int, by_mean: int) -> Survey:
    """Look at every score once.

    Args:
        scores: (T, N).
        share: (T,) weights; targets of weight 0 have no candidates of their own.
        per_target: How many of each target's best rows become candidates.
        by_mean: How many rows of the largest mean do.
    """
    targets, pool = scores.shape
    means = np.empty(pool)
    lowest, highest = np.full(targets, np.inf), np.full(targets, -np.inf)
    best = _Best(np.flatnonzero(share), targets, per_target)
    for part in scores.scan(partial(_look, share=share, per_target=per_target)):
        for start, mean in part.means:
            means[start : start + len(mean)] = mean
        np.minimum(lowest, part.lowest, out=lowest)
        np.maximum(highest, part.highest, out=highest)
        best.join(part.best)
    rows, left_out = best.result()
    top = _largest(means, np.arange(pool), by_mean)
    return Survey(
        np.union1d(rows, top),
        means,
        lowest,
        np.minimum(highest, left_out),
        np.maximum(np.abs(lowest), np.abs(highest)),
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """Of some blocks: first column and means of each; over all of them, the rest."""

    means: list[tuple[int, Float64]]
    lowest: Float64
    highest: Float64
    best: _Best


def _look(
    scores: Scores, starts: Sequence[int], threads: int | None, share: Float64, per_target: int
) -> _Part:
    """See `Scores.scan`."""
    targets = scores.shape[0]
    lowest, highest = np.full(targets, np.inf), np.full(targets, -np.inf)
    means, best = [], _Best(np.flatnonzero(share), targets, per_target)

    def sums(start: int, block: Float32) -> tuple[Float64, Float32, Float32]:
        return weighted_sum(share, block.astype(np.float64)), block.min(1), block.max(1)

    for start, block, (mean, low, high) in map_blocks(scores, starts, sums, threads):
        means.append((start, mean))
        np.minimum(lowest, low, out=lowest)
        np.maximum(highest, high, out=highest)
        best.add(start, block)
    best.shrink()
    return _Part(means, lowest, highest, best)


class _Best:
    """Each target's n best rows so far; a block is sifted once these are full.

    Of equal scores those of the first rows stay, whatever was joined first.
    """

    def __init__(self, counted: Int64, targets: int, n: int) -> None:
        self._counted, self._n = counted, n
        self._rows: list[list[Int64]] = [[] for _ in range(targets)]
        self._values: list[list[Float32]] = [[] for _ in range(targets)]
        self._held = np.zeros(targets, dtype=np.int64)
        self._least = np.full(targets, -np.inf, dtype=np.float32)  # what a row has to reach

    def add(self, start: int, block: Float32) -> None:
        """Take what may be among the best."""
        for x in self._counted.tolist():
            found = np.flatnonzero(block[x] > self._least[x])
            if found.size:
                self._take(x, found + start, block[x, found])

    def join(self, other: _Best) -> None:
        """Take what another found among other rows."""
        for x in self._counted.tolist():
            for rows, values in zip(other._rows[x], other._values[x], strict=True):
                self._take(x, rows, values)
        np.maximum(self._least, other._least, out=self._least)  # no row it left out is better

    def shrink(self) -> None:
        """Keep no more than n."""
        for x in self._counted.tolist():
            if self._held[x] > self._n:
                self._shrink(x)

    def result(self) -> tuple[Int64, Float32]:
        """Positions of all of them; and per target what no other row exceeds, +inf if unknown."""
        self.shrink()
        least = np.where(np.isneginf(self._least), np.inf, self._least).astype(np.float32)
        return np.unique(np.concatenate([part for parts in self._rows for part in parts])), least

    def _take(self, x: int, rows: Int64, values: Float32) -> None:
        self._rows[x].append(rows)
        self._values[x].append(values)
        self._held[x] += rows.size
        if self._held[x] > 4 * self._n:
            self._shrink(x)

    def _shrink(self, x: int) -> None:
        rows, values = np.concatenate(self._rows[x]), np.concatenate(self._values[x])
        kept = _largest(values, rows, self._n)
        self._rows[x], self._values[x] = [rows[kept]], [values[kept]]
        self._held[x] = self._n
        self._least[x] = values[kept].min()


def _largest(values: npt.NDArray[np.floating], rows: Int64, n: int) -> Int64:
    """Places of the n largest values; of equal ones those of the first rows."""
    if n >= len(values):
        return np.arange(len(values))
    last = np.partition(values, len(values) - n)[len(values) - n]
    above, equal = np.flatnonzero(values > last), np.flatnonzero(values == last)
    first = equal[np.argsort(rows[equal], kind="stable")[: n - len(above)]]
    return np.append(above, first)
