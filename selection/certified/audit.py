"""Would a row that was left out have been picked? One pass over the scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from selection.certified.blocks import map_blocks
from selection.certified.envelope import Bins, Envelope
from selection.certified.groups import alike
from selection.certified.survey import Survey
from selection.certified.trajectory import Float64, Int64, Trajectory
from selection.group import weighted_sum
from selection.scores import BLOCK, Float32, Scores

COARSE, FINE = 32, 32  # groups of decisions, and parts of each
_CLOSE = 0.05  # rows that stay behind by so much of the gain that was picked become candidates too
_AT_ONCE = 1 << 19  # values taken through float64 at once


@dataclass(frozen=True, eq=False)
class Findings:
    """What an audit found.

    Attributes:
        rows: Positions, ascending, of rows that were left out and would have been picked, or came
            close to it.
        columns: (T, rows) their scores.
        first: The first rank at which one would have been picked; None if none would.
        doubtful: How many rows the coarse bounds did not rule out.
        computed: How many gains had to be computed.
    """

    rows: Int64
    columns: Float32
    first: int | None
    doubtful: int
    computed: int

    @classmethod
    def none(cls, targets: int) -> Findings:
        """Nothing, for so many targets."""
        empty = np.empty((targets, 0), dtype=np.float32)
        return cls(np.empty(0, dtype=np.int64), empty, None, 0, 0)

    def and_then(self, other: Findings) -> Findings:
        """Both."""
        ranks = [rank for rank in (self.first, other.first) if rank is not None]
        rows, places = np.unique(np.append(self.rows, other.rows), return_index=True)
        return Findings(
            rows,
            np.hstack([self.columns, other.columns])[:, places],
            min(ranks, default=None),
            self.doubtful + other.doubtful,
            self.computed + other.computed,
        )


def audit(
    scores: Scores,
    trajectory: Trajectory,
    known: Survey,
    candidates: Int64,
    share: Float64,
    scale: float,
) -> Findings:
    """Compare every row that is no candidate with every decision.

    Args:
        scores: (T, N).
        trajectory: The decisions.
        known: What is known of the same scores.
        candidates: Positions, ascending, of the rows that the greedy saw.
        share: (T,) weights.
        scale: τ.
    """
    outside = np.ones(scores.shape[1], dtype=bool)
    outside[candidates] = False
    found = _into_empty_groups(trajectory, known.means, outside, scores)
    if len(trajectory.thresholds) and outside.any():
        check = _Check(scores, trajectory, known, outside, share, scale)
        for more in scores.scan(partial(_look, check=check)):
            found = found.and_then(more)
    return found


def _look(scores: Scores, starts: Sequence[int], threads: int | None, check: _Check) -> Findings:
    """See `Scores.scan`."""
    found = Findings.none(scores.shape[0])
    for _, _, more in map_blocks(scores, starts, check.look, threads):
        found = found.and_then(more)
    return found


def _into_empty_groups(
    trajectory: Trajectory, means: Float64, outside: npt.NDArray[np.bool_], scores: Scores
) -> Findings:
    """Rows of a larger mean than what was picked into an empty group."""
    gains, ranks = trajectory.empty_thresholds, trajectory.empty_ranks
    rows = np.flatnonzero(outside & (means >= gains.min(initial=np.inf)))
    first = None
    for gain, picked, rank in zip(gains, trajectory.empty_picked, ranks, strict=True):
        if ((means[rows] > gain) | ((means[rows] == gain) & (rows < picked))).any():
            first = int(rank)
            break
    columns = np.empty((scores.shape[0], 0), dtype=np.float32)
    return Findings(rows, scores.columns(rows).values() if rows.size else columns, first, 0, 0)


class _Check:
    """Looks at blocks of scores."""

    def __init__(
        self,
        scores: Scores,
        trajectory: Trajectory,
        known: Survey,
        outside: npt.NDArray[np.bool_],
        share: Float64,
        scale: float,
    ) -> None:
        self._trajectory, self._outside = trajectory, outside
        self._share, self._scale = share, scale
        # a bound that is not below 0 by that much is none: what counts as no gain, and rounding
        self._doubt = -1e-13 * float(known.peaks.max())
        self._bins = Bins.between(known.lowest, known.highest)
        sample = self._bins.of(scores.block(0, min(BLOCK, scores.shape[1])))
        typical = np.median(sample, axis=1).astype(np.int64)
        decisions = np.arange(len(trajectory.thresholds))
        groups = alike(trajectory, COARSE, decisions)
        self._parts = [alike(trajectory, FINE, group) for group in groups]
        settings = self._bins, typical, share, scale
        self._coarse = Envelope(trajectory, groups, *settings)
        self._fine = [Envelope(trajectory, parts, *settings) for parts in self._parts]

    def look(self, start: int, block: Float32) -> Findings:
        """Rows of this block that would have been picked, or nearly."""
        places = np.flatnonzero(self._outside[start : start + block.shape[1]])
        binned = self._bins.of(block[:, places])
        doubtful = self._coarse.leads(binned) >= self._doubt
        count = int(doubtful.any(axis=1).sum())
        found = replace(Findings.none(len(block)), doubtful=count)
        for group, (parts, fine) in enumerate(zip(self._parts, self._fine, strict=True)):
            mine = np.flatnonzero(doubtful[:, group])
            if not mine.size:
                continue
            finer = fine.leads(binned[:, mine]) >= self._doubt
            for part in np.flatnonzero(finer.any(axis=0)).tolist():
                rows = places[mine[finer[:, part]]]
                found = found.and_then(self._compute(start + rows, block[:, rows], parts[part]))
        return found

    def _compute(self, rows: Int64, columns: Float32, decisions: Int64) -> Findings:
        """Compare the gains of some rows (T, rows) at some decisions."""
        steps = self._trajectory
        near, first = np.zeros(len(rows), dtype=bool), None
        width = max(1, _AT_ONCE // len(columns))
        scores = columns.astype(np.float64)
        for t in decisions.tolist():
            threshold, picked = steps.thresholds[t], steps.picked[t]
            for begin in range(0, len(rows), width):
                part = slice(begin, begin + width)
                gains = self._gains(t, scores[:, part])
                wins = (gains > threshold) | ((gains == threshold) & (rows[part] < picked))
                near[part] |= wins | (gains > (1 - _CLOSE) * threshold)
                if wins.any():
                    rank = int(steps.ranks[t])
                    first = rank if first is None else min(first, rank)
        return Findings(rows[near], columns[:, near], first, 0, len(rows) * len(decisions))

    def _gains(self, t: int, scores: Float64) -> Float64:
        """(n,) as the greedy computes them, from scores (T, n)."""
        steps = self._trajectory
        log_ratio = steps.log_denominators[t][:, None] - self._scale * np.abs(scores)
        parts = np.exp(-np.logaddexp(0.0, log_ratio))
        changes = parts * (scores - steps.values[t][:, None])
        return weighted_sum(self._share, changes)
