"""An overview of a score matrix for reports, from one pass over its blocks.

The matrix itself is not kept: 8 bytes per pool row are, and a few rows per target.

Shapes: T targets, N pool rows, k chosen rows, n rows kept for each target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from selection.score_counts import ScoreCounter, ScoreCounts
from selection.scores import Float32, Scores

Int64 = npt.NDArray[np.int64]
KEPT = 10


@dataclass(frozen=True, eq=False)
class TargetRows:
    """For each target some pool rows, in order; of equal scores the first row comes first.

    Attributes:
        rows: (T, n) positions in the pool.
        scores: (T, n) their scores for the target.
    """

    rows: Int64
    scores: Float32


@dataclass(frozen=True, eq=False)
class ScoreOverview:
    """Scores of the chosen rows, the best and the worst of the others, and their distribution.

    Attributes:
        chosen: (k, T), the chosen rows' scores for every target, in order of rank.
        best_left: The rows with the highest scores that were not chosen, best first.
        worst_left: Those with the lowest, lowest first.
        top_targets: (N,) int32, the target for which each pool row has its highest score.
        top_scores: (N,) float32, that score.
        distribution: Distribution of every target's scores, over all pool rows.
    """

    chosen: Float32
    best_left: TargetRows
    worst_left: TargetRows
    top_targets: npt.NDArray[np.int32]
    top_scores: Float32
    distribution: ScoreCounts


def overview(scores: Scores, chosen: Int64, kept: int = KEPT) -> ScoreOverview:
    """Look at every score once.

    Args:
        scores: (T, N).
        chosen: (k,) positions in the pool, in order of rank.
        kept: Rows kept for each target at either end, if that many were not chosen.
    """
    targets, pool = scores.shape
    found = _Part.nothing(targets, kept)
    top_targets = np.empty(pool, dtype=np.int32)
    top_scores = np.empty(pool, dtype=np.float32)
    chosen_scores = np.empty((len(chosen), targets), dtype=np.float32)
    for part in scores.scan(partial(_look, chosen=chosen, kept=kept)):
        for start, best_targets, best_scores in part.tops:
            top_targets[start : start + len(best_targets)] = best_targets
            top_scores[start : start + len(best_scores)] = best_scores
        for places, values in part.chosen:
            chosen_scores[places] = values
        found.join(part)
    worst = TargetRows(found.worst.rows, -found.worst.scores)
    return ScoreOverview(
        chosen_scores, found.best, worst, top_targets, top_scores, found.counter.result()
    )


@dataclass(eq=False)
class _Part:
    """Of some blocks.

    Attributes:
        kept: Rows kept for each target at either end.
        best: See `ScoreOverview.best_left`.
        worst: See `ScoreOverview.worst_left`, with the scores' signs turned.
        counter: Counter of all scores.
        tops: First column of each block, its rows' best targets and largest scores.
        chosen: Ranks of chosen rows, and their scores for every target.
    """

    kept: int
    best: TargetRows
    worst: TargetRows
    counter: ScoreCounter
    tops: list[tuple[int, npt.NDArray[np.int32], Float32]] = field(default_factory=list)
    chosen: list[tuple[Int64, Float32]] = field(default_factory=list)

    @classmethod
    def nothing(cls, targets: int, kept: int) -> _Part:
        """Of no blocks."""
        return cls(kept, _nothing(targets), _nothing(targets), ScoreCounter(targets))

    def add(self, start: int, block: Float32, chosen: Int64) -> None:
        """Look at a block that comes after all others."""
        stop = start + block.shape[1]
        self.counter.add(block)
        self.tops.append((start, block.argmax(axis=0).astype(np.int32), block.max(axis=0)))
        inside = np.flatnonzero((chosen >= start) & (chosen < stop))
        self.chosen.append((inside, block[:, chosen[inside] - start].T))
        numbers = np.delete(np.arange(start, stop), chosen[inside] - start)
        left = block[:, numbers - start]
        self.best = _merged(self.best, numbers, left, self.kept)
        self.worst = _merged(self.worst, numbers, -left, self.kept)

    def join(self, other: _Part) -> None:
        """Add what another found in other blocks, but for `tops` and `chosen`."""
        self.counter.join(other.counter)
        self.best = _joined(self.best, other.best, self.kept)
        self.worst = _joined(self.worst, other.worst, self.kept)


def _look(
    scores: Scores, starts: Sequence[int], threads: int | None, chosen: Int64, kept: int
) -> _Part:
    """See `Scores.scan`; one thread does."""
    found = _Part.nothing(scores.shape[0], kept)
    for start, block in scores.blocks(starts):
        found.add(start, block, chosen)
    return found


def _nothing(targets: int) -> TargetRows:
    empty = np.empty((targets, 0))
    return TargetRows(empty.astype(np.int64), empty.astype(np.float32))


def _merged(found: TargetRows, numbers: Int64, block: Float32, n: int) -> TargetRows:
    """The n best of what was found and of a block's rows, all of which come later in the pool."""
    targets, before = found.rows.shape
    size = min(n, before + len(numbers))
    rows = np.empty((targets, size), dtype=np.int64)
    scores = np.empty((targets, size), dtype=np.float32)
    for x, line in enumerate(block):
        if before == n:  # full: only what is better than the last one gets in
            among = np.flatnonzero(line > found.scores[x, -1])
        elif len(line) > n:  # all that tie with the n-th best, too
            among = np.flatnonzero(line >= np.partition(line, len(line) - n)[len(line) - n])
        else:
            among = np.arange(len(line))
        candidates = np.concatenate([found.rows[x], numbers[among]])
        values = np.concatenate([found.scores[x], line[among]])
        order = np.lexsort((candidates, -values))[:size]
        rows[x], scores[x] = candidates[order], values[order]
    return TargetRows(rows, scores)


def _joined(first: TargetRows, second: TargetRows, n: int) -> TargetRows:
    """The n best of both."""
    rows = np.hstack([first.rows, second.rows])
    scores = np.hstack([first.scores, second.scores])
    order = np.lexsort((rows, -scores), axis=-1)[:, :n]
    return TargetRows(
        np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    )
