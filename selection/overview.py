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
from selection.top import TargetRows

Int64 = npt.NDArray[np.int64]
KEPT = 10


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
        empty = TargetRows.nothing(targets)
        return cls(kept, empty, empty, ScoreCounter(targets))

    def add(self, start: int, block: Float32, chosen: Int64) -> None:
        """Look at a block that comes after all others."""
        stop = start + block.shape[1]
        self.counter.add(block)
        self.tops.append((start, block.argmax(axis=0).astype(np.int32), block.max(axis=0)))
        inside = np.flatnonzero((chosen >= start) & (chosen < stop))
        self.chosen.append((inside, block[:, chosen[inside] - start].T))
        numbers = np.delete(np.arange(start, stop), chosen[inside] - start)
        left = block[:, numbers - start]
        self.best = self.best.joined(numbers, left, self.kept)
        self.worst = self.worst.joined(numbers, -left, self.kept)

    def join(self, other: _Part) -> None:
        """Add what another found in other blocks, but for `tops` and `chosen`."""
        self.counter.join(other.counter)
        self.best = self.best.joined(*other.best, self.kept)
        self.worst = self.worst.joined(*other.worst, self.kept)


def _look(
    scores: Scores, starts: Sequence[int], threads: int | None, chosen: Int64, kept: int
) -> _Part:
    """See `Scores.scan`; one thread does."""
    found = _Part.nothing(scores.shape[0], kept)
    for start, block in scores.blocks(starts):
        found.add(start, block, chosen)
    return found
