"""What a report needs to know of a score matrix, from one pass over its blocks.

The matrix itself is not kept: 8 bytes per pool row are, and a few rows per target.

Shapes: T targets, N pool rows, k chosen rows, n rows kept for each target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from selection.score_counts import ScoreCounter, ScoreCounts
from selection.scores import Float32, ScoreMatrix

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
        distribution: Of every target's scores, over all pool rows.
    """

    chosen: Float32
    best_left: TargetRows
    worst_left: TargetRows
    top_targets: npt.NDArray[np.int32]
    top_scores: Float32
    distribution: ScoreCounts


def overview(scores: ScoreMatrix, chosen: Int64, kept: int = KEPT) -> ScoreOverview:
    """Look at every score once.

    Args:
        scores: (T, N).
        chosen: (k,) positions in the pool, in order of rank.
        kept: Rows kept for each target at either end, if that many were not chosen.
    """
    targets, pool = scores.shape
    chosen_scores = np.empty((len(chosen), targets), dtype=np.float32)
    best, worst = _nothing(targets), _nothing(targets)
    top_targets = np.empty(pool, dtype=np.int32)
    top_scores = np.empty(pool, dtype=np.float32)
    counter = ScoreCounter(targets)
    for start, block in scores.blocks():
        stop = start + block.shape[1]
        counter.add(block)
        top_targets[start:stop] = block.argmax(axis=0)
        top_scores[start:stop] = block.max(axis=0)
        inside = np.flatnonzero((chosen >= start) & (chosen < stop))
        chosen_scores[inside] = block[:, chosen[inside] - start].T
        numbers = np.delete(np.arange(start, stop), chosen[inside] - start)
        left = block[:, numbers - start]
        best = _merged(best, numbers, left, kept)
        worst = _merged(worst, numbers, -left, kept)
    return ScoreOverview(
        chosen_scores, best, TargetRows(worst.rows, -worst.scores), top_targets, top_scores,
        counter.result(),
    )  # fmt: skip


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
