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
from selection.top import TargetRows, largest

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
    means, counted = np.empty(pool), np.flatnonzero(share)
    lowest, highest = np.full(targets, np.inf), np.full(targets, -np.inf)
    found = TargetRows.nothing(len(counted))
    for part in scores.scan(partial(_look, share=share, per_target=per_target)):
        for start, mean in part.means:
            means[start : start + len(mean)] = mean
        np.minimum(lowest, part.lowest, out=lowest)
        np.maximum(highest, part.highest, out=highest)
        found = found.joined(*part.best, per_target)
    peaks = np.maximum(np.abs(lowest), np.abs(highest))
    if pool > per_target:
        highest[counted] = found.scores[:, -1]
    rows = np.union1d(found.rows, largest(means, by_mean))
    return Survey(rows, means, lowest, highest, peaks)


@dataclass(frozen=True, eq=False)
class _Part:
    """Of some blocks: first column and means of each; over all of them, the rest."""

    means: list[tuple[int, Float64]]
    lowest: Float64
    highest: Float64
    best: TargetRows


def _look(
    scores: Scores, starts: Sequence[int], threads: int | None, share: Float64, per_target: int
) -> _Part:
    """See `Scores.scan`."""
    targets = scores.shape[0]
    lowest, highest = np.full(targets, np.inf), np.full(targets, -np.inf)
    means, counted = [], np.flatnonzero(share)
    found = TargetRows.nothing(len(counted))

    def sums(start: int, block: Float32) -> tuple[Float64, Float32, Float32]:
        return weighted_sum(share, block.astype(np.float64)), block.min(1), block.max(1)

    for start, block, (mean, low, high) in map_blocks(scores, starts, sums, threads):
        means.append((start, mean))
        np.minimum(lowest, low, out=lowest)
        np.maximum(highest, high, out=highest)
        found = found.joined(np.arange(start, start + len(mean)), block[counted], per_target)
    return _Part(means, lowest, highest, found)
