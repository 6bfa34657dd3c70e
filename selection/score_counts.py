"""Histograms of scores, counted block by block, without knowing their range beforehand.

All bins are 2^e wide and start at a multiple of that, so that two neighbors of one width make a
bin of the next. Where a block reaches beyond the bins, they are merged in pairs until it fits: each
score is counted once, in the bin that it belongs to, whatever the order of the blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from selection.scores import Float32

BINS = 512  # at most; at least half of them span the range, where scores differ at all
_FINEST = 30  # binary digits below the largest score; float32 has 24
_NOTHING = -200  # the same while all scores are 0: finer than any float32
_AT_ONCE = 64  # targets counted together


@dataclass(frozen=True, eq=False)
class ScoreCounts:
    """Histograms of T targets' scores over one set of bins.

    Attributes:
        counts: (T, B) int64; the scores of target x from edges[b] up to, but without, edges[b + 1].
        edges: (B + 1,) float64, ascending, evenly spaced.
    """

    counts: npt.NDArray[np.int64]
    edges: npt.NDArray[np.float64]

    def share_below(self, target: int, score: float) -> float:
        """At least which share of the pool scores less for the target, to within a bin."""
        counts = self.counts[target]
        return float(counts[: max(self._bin(score), 0)].sum() / counts.sum())

    def share_above(self, target: int, score: float) -> float:
        """At least which share of the pool scores more for the target, to within a bin."""
        counts = self.counts[target]
        return float(counts[max(self._bin(score) + 1, 0) :].sum() / counts.sum())

    def _bin(self, score: float) -> int:
        """Where a score falls; -1 below all bins, their number above them."""
        return int(np.searchsorted(self.edges, score, side="right")) - 1

    def quantiles(self, target: int, shares: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Scores below which these shares of the pool lie for the target, to within a bin.

        Args:
            target: Its position.
            shares: (Q,), each from 0 to 1.
        """
        wanted, counts = np.asarray(shares, dtype=np.float64), self.counts[target]
        filled = np.flatnonzero(counts)
        reached = np.concatenate([[0.0], np.cumsum(counts[filled])]) / counts.sum()
        # Within a bin scores count as spread evenly; between filled bins there are none.
        place = np.clip(np.searchsorted(reached, wanted, side="left") - 1, 0, len(filled) - 1)
        inside = (wanted - reached[place]) / (reached[place + 1] - reached[place])
        low, high = self.edges[filled[place]], self.edges[filled[place] + 1]
        return np.asarray(low + inside * (high - low))


class ScoreCounter:
    """Counts that grow block by block."""

    def __init__(self, targets: int) -> None:
        """Start with nothing counted for any of the targets."""
        self._counts = np.zeros((targets, 0), dtype=np.int64)
        self._exponent = 0
        self._first = 0  # the first bin starts at _first · 2^_exponent

    def add(self, block: Float32) -> None:
        """Count the scores of a block (T, columns); a block without columns changes nothing."""
        if not block.size:
            return
        low, high = float(block.min()), float(block.max())
        if not self._counts.shape[1]:
            largest = max(abs(low), abs(high))
            self._exponent = int(np.frexp(largest)[1]) - _FINEST if largest else _NOTHING
            self._first = int(np.floor(low / 2.0**self._exponent))
        self._make_room(low, high)
        width, bins = 2.0**self._exponent, self._counts.shape[1]
        for start in range(0, len(block), _AT_ONCE):
            part = block[start : start + _AT_ONCE]
            # in float64: float32 might not hold the width
            places = np.floor(part.astype(np.float64) / width).astype(np.int64) - self._first
            places += bins * np.arange(len(part))[:, None]
            counted = np.bincount(places.ravel(), minlength=bins * len(part))
            self._counts[start : start + _AT_ONCE] += counted.reshape(len(part), bins)

    def join(self, other: ScoreCounter) -> None:
        """Count what another has counted; it must not be used any more."""
        if not other._counts.shape[1]:
            return
        if not self._counts.shape[1]:
            self._exponent, self._first = other._exponent, other._first
        while other._exponent < self._exponent:
            other._merge_pairs()
        while self._exponent < other._exponent:
            self._merge_pairs()
        self._make_room(*other._ends())
        while other._exponent < self._exponent:
            other._merge_pairs()
        start = other._first - self._first
        self._counts[:, start : start + other._counts.shape[1]] += other._counts

    def result(self) -> ScoreCounts:
        """What was counted; at least one score has to be."""
        starts = self._first + np.arange(self._counts.shape[1] + 1, dtype=np.float64)
        return ScoreCounts(self._counts.copy(), starts * np.float64(2.0**self._exponent))

    def _ends(self) -> tuple[float, float]:
        """A score in the first bin and one in the last."""
        width = 2.0**self._exponent
        return self._first * width, (self._first + self._counts.shape[1] - 1) * width

    def _make_room(self, low: float, high: float) -> None:
        """Merge and add bins so that there is one for every score from low to high."""
        while True:
            width, last = 2.0**self._exponent, self._first + self._counts.shape[1] - 1
            first = min(self._first, int(np.floor(low / width)))
            last = max(last, int(np.floor(high / width)))
            if last - first < BINS:
                break
            self._merge_pairs()
        before, after = self._first - first, last - first + 1
        grown = np.zeros((len(self._counts), after), dtype=np.int64)
        grown[:, before : before + self._counts.shape[1]] = self._counts
        self._counts, self._first = grown, first

    def _merge_pairs(self) -> None:
        self._exponent += 1
        if not self._counts.shape[1]:
            self._first //= 2
            return
        places = (self._first + np.arange(self._counts.shape[1])) // 2
        merged = np.zeros((len(self._counts), int(places[-1] - places[0]) + 1), dtype=np.int64)
        np.add.at(merged.T, places - places[0], self._counts.T)
        self._counts, self._first = merged, int(places[0])
