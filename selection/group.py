"""Group influence that grows by one row at a time, and the gain of every candidate at once.

For a target x with scores s_i, a group S, and scale τ (`airrep.pooling` states the formula):

    f(x, S) = N / D,   N = Σ_{i∈S} e_i s_i,   D = Σ_{i∈S} e_i,   e_i = exp(τ|s_i|)

so adding row j moves f by  (s_j - f) · e_j / (D + e_j)  =  (s_j - f) / (1 + D / e_j).
The objective is F(S) = Σ_x w_x f(x, S), with f(x, ∅) = 0. One step costs O(T · N).

exp overflows, so every e_i and D of a target carry a common factor exp(-ref). `ref` follows the
largest logit in the group, and only moves when that leaves a window; then the target's row of
1/e_i is computed afresh.

Gains of all candidates are float32; the state of the group, the choice among candidates that
float32 cannot tell apart, and the gain of the row that is picked are float64. Sums over targets
are einsums: unlike a BLAS product, they give equal columns equal sums, wherever the columns stand.

Shapes: T targets, N candidates.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import numpy as np
import numpy.typing as npt

from selection.top import largest

_LIMIT = 80.0  # exp(±80) is safe in float32, and 80 nats below the group is no weight at all
_WINDOW = (-50.0, 40.0)  # how far the group's largest logit may be from ref
_TILE = (32, 1 << 14)  # targets, candidates: wide enough for the memory, 2 MiB for the cache
_ROUNDING = 2.0**-18  # of float32 gains, relative to max |score|
_MOST_TIED = 256


class GroupInfluence:
    """The objective F over one growing group of candidates.

    Use as a context manager: it owns worker threads.

    Attributes:
        size: Rows in the group.
        values: f(x, S) of every target, (T,) float64.
    """

    def __init__(
        self,
        scores: npt.NDArray[np.float32],
        weights: npt.NDArray[np.float64],
        scale: float,
        threads: int | None = None,
        largest: npt.NDArray[np.float64] | None = None,
    ) -> None:
        """Start with an empty group.

        Args:
            scores: (T, N), finite; read, never written.
            weights: (T,), see `target_weights`.
            scale: τ > 0.
            threads: Worker threads; default the CPUs this process may use. No effect on results.
            largest: (T,) max |score| of each target, where the candidates are part of a pool: the
                pool's, so that rounding is the same as if all of it were here. Default theirs.
        """
        counted = np.flatnonzero(weights)
        self._all_weights = weights
        self._rows = counted
        self._scores = scores if len(counted) == len(weights) else scores[counted]
        self._weights = weights[counted]
        self._scale = float(scale)
        self._inverse = np.empty(self._scores.shape, dtype=np.float32)  # exp(ref - τ|s|)
        if largest is None:
            self._peaks = np.array([float(np.abs(row).max()) for row in self._scores])
        else:
            self._peaks = largest[counted]
        self._largest = float(self._peaks.max())
        self._ref = np.full(len(counted), np.nan)
        self._gains = np.empty(scores.shape[1], dtype=np.float32)
        self._taken = np.zeros(scores.shape[1], dtype=bool)
        self._threads = threads or usable_cpus()
        self._workers = ThreadPoolExecutor(self._threads)
        self.start_group()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._workers.shutdown()

    def start_group(self) -> None:
        """Empty the group; rows that were added stay out of reach."""
        targets = len(self._rows)
        self._numerator = np.zeros(targets)
        self._denominator = np.zeros(targets)
        self._top = np.full(targets, -np.inf)
        self.size = 0

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """f(x, S) for every target, (T,); 0 for an empty group and for targets of weight 0."""
        full = np.zeros(len(self._all_weights))
        full[self._rows] = self._current()
        return full

    @property
    def log_denominator(self) -> npt.NDArray[np.float64]:
        """Log D of every target, (T,); -inf for an empty group, 0 for targets of weight 0."""
        full = np.full(len(self._all_weights), 0.0 if self.size else -np.inf)
        if self.size:
            full[self._rows] = np.log(self._denominator) + self._ref
        return full

    @property
    def rounding(self) -> float:
        """Gains no larger than this are zero, as far as float64 sums of scores can tell."""
        return 1e-12 * self._largest

    def gains(self) -> npt.NDArray[np.float32]:
        """Gain in F from adding each candidate, (N,) float32; -inf for rows added before.

        The next call overwrites the array.
        """
        return self._filled(self._fill)

    def best(
        self,
        among: npt.NDArray[np.bool_] | None = None,
        for_one_of: npt.NDArray[np.int64] | None = None,
    ) -> tuple[int, float]:
        """The candidate with the largest gain, and that gain in float64.

        Of exact ties the first candidate wins. Candidates that float32 cannot tell apart are
        compared in float64 (if there are more than 256: the best of them by float32, and all
        whose gain may be positive).

        Args:
            among: (N,) candidates to look at, at least one that was not added before; default all.
            for_one_of: Targets, ascending and of positive weight. A candidate's gain is then its
                largest gain for a single one of them, w_x · (change of f(x, S)).
        """
        local = None if for_one_of is None else np.searchsorted(self._rows, for_one_of)
        gains = self.gains() if local is None else self._largest_gains(local)
        if among is not None:
            gains[~among] = -np.inf
        threshold = gains.max() - np.float32(_ROUNDING * self._largest)
        tied = np.flatnonzero((gains >= threshold) & ~self._taken)
        if len(tied) > _MOST_TIED:
            tied = np.union1d(tied[largest(gains[tied], _MOST_TIED)], self._may_gain(tied))
        exact = np.empty(len(tied))
        for start in range(0, len(tied), _TILE[1]):
            part = slice(start, start + _TILE[1])
            deltas = self._deltas(tied[part])
            if local is None:
                exact[part] = weighted_sum(self._weights, deltas)
            else:
                exact[part] = (self._weights[:, None] * deltas)[local].max(axis=0)
        winner = int(np.argmax(exact))
        return int(tied[winner]), float(exact[winner])

    def add(self, candidate: int) -> npt.NDArray[np.float64]:
        """Put a candidate into the group.

        Returns:
            What it changed: w_x · (new f(x, S) - old f(x, S)) per target, (T,); sums to its gain.
        """
        change = np.zeros(len(self._all_weights))
        change[self._rows] = self._weights * self._deltas(np.array([candidate]))[:, 0]
        column = self._scores[:, candidate].astype(np.float64)
        logits = self._scale * np.abs(column)
        self._top = np.maximum(self._top, logits)
        self._rebase()
        factor = np.exp(logits - self._ref)
        self._denominator += factor
        self._numerator += factor * column
        self._taken[candidate] = True
        self.size += 1
        return change

    def _may_gain(self, candidates: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Those candidates that are above the group for some target; no other can gain."""
        above = np.zeros(len(candidates), dtype=bool)
        for row, value in zip(self._scores, self._current(), strict=True):
            above |= row[candidates] > value
        return candidates[above]

    def _current(self) -> npt.NDArray[np.float64]:
        if self.size == 0:
            return np.zeros(len(self._rows))
        return self._numerator / self._denominator

    def _deltas(self, candidates: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Change of f per target and candidate (T, C), float64."""
        scores = self._scores[:, candidates].astype(np.float64)
        if self.size == 0:
            return scores
        # log(D / e_j) is finite whatever the scale, D / e_j need not be
        log_ratio = (np.log(self._denominator) + self._ref)[:, None] - self._scale * np.abs(scores)
        share = np.exp(-np.logaddexp(0.0, log_ratio))  # 1 / (1 + D / e_j)
        return share * (scores - self._current()[:, None])

    def _rebase(self) -> None:
        """Move `ref` of the targets whose largest logit left the window."""
        offset = self._top - self._ref
        inside = (offset >= _WINDOW[0]) & (offset <= _WINDOW[1])  # False while ref is NaN
        for x in np.flatnonzero(~inside):
            # Rows more alike than the window never move again: start from their middle.
            row = self._scores[x]
            new = self._top[x] if self.size else self._first_reference(int(x))
            if self.size:
                rescale = np.exp(self._ref[x] - new)
                self._numerator[x] *= rescale
                self._denominator[x] *= rescale
            self._ref[x] = new
            # float32 would turn the rounding of a large logit into a wrong weight
            logits = new - self._scale * np.abs(row.astype(np.float64))
            self._inverse[x] = np.exp(np.clip(logits, -_LIMIT, _LIMIT))

    def _first_reference(self, x: int) -> float:
        """A reference that serves any group, if the target's logits span less than the window."""
        top = float(self._top[x])
        highest = self._scale * float(self._peaks[x]) - _WINDOW[1]
        return highest if top - highest >= _WINDOW[0] else top

    def _largest_gains(self, targets: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """As `gains`, but each candidate's largest gain for one of these rows of the scores."""
        return self._filled(lambda starts: self._fill_largest(starts, targets))

    def _filled(self, fill: Callable[[range], None]) -> npt.NDArray[np.float32]:
        starts = range(0, len(self._gains), _TILE[1])
        share = -(-len(starts) // self._threads)
        parts = [starts[i : i + share] for i in range(0, len(starts), share)]
        list(self._workers.map(fill, parts))
        self._gains[self._taken] = -np.inf
        return self._gains

    def _fill(self, starts: range) -> None:
        """Gains of the candidates from each start to the tile's width beyond it."""
        targets = len(self._rows)
        if self.size == 0:
            weights = self._weights.astype(np.float32)
            for start in starts:
                strip = slice(start, start + _TILE[1])
                np.einsum("t,tn->n", weights, self._scores[:, strip], out=self._gains[strip])
            return
        # w / (1 + D/e)  =  (w/D) / (1/D + 1/e)
        offset = (1.0 / self._denominator).astype(np.float32)[:, None]
        weighted = (self._weights / self._denominator).astype(np.float32)[:, None]
        value = self._current().astype(np.float32)[:, None]
        scratch = np.empty((2, *_TILE), dtype=np.float32)
        for start in starts:
            strip = slice(start, start + _TILE[1])
            gains = self._gains[strip]
            gains[:] = 0.0
            for first in range(0, targets, _TILE[0]):
                rows = slice(first, first + _TILE[0])
                share, move = scratch[:, : len(value[rows]), : len(gains)]
                np.add(self._inverse[rows, strip], offset[rows], out=share)
                np.divide(weighted[rows], share, out=share)
                np.subtract(self._scores[rows, strip], value[rows], out=move)
                gains += np.einsum("tn,tn->n", share, move)

    def _fill_largest(self, starts: range, targets: npt.NDArray[np.int64]) -> None:
        """The same, for `_largest_gains`."""
        weights, value = self._weights.astype(np.float32), self._current().astype(np.float32)
        if self.size:
            offset = (1.0 / self._denominator).astype(np.float32)
            weighted = (self._weights / self._denominator).astype(np.float32)
        for start in starts:
            strip = slice(start, start + _TILE[1])
            gains = self._gains[strip]
            gains[:] = -np.inf
            for x in targets:
                share: npt.NDArray[np.float32] | np.float32 = weights[x]
                if self.size:
                    share = weighted[x] / (self._inverse[x, strip] + offset[x])
                np.maximum(gains, share * (self._scores[x, strip] - value[x]), out=gains)


def weighted_sum(
    weights: npt.NDArray[np.float64], values: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Σ_x w_x v_x of every column of (T, n): equal columns get equal sums, whatever n is.

    Of a single column einsum would make a dot product, which adds in another order.
    """
    if values.shape[1] == 1:
        values = np.repeat(values, 2, axis=1)
        return np.einsum("t,tn->n", weights, values)[:1]
    return np.einsum("t,tn->n", weights, np.ascontiguousarray(values))


def usable_cpus() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
