"""The best open row, asked for again and again while rows are taken and closed.

Within a phase of a pass rows only close, so a ranking is read from the top once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from selection.candidates import top_rows
from selection.constraints import Pass
from selection.scores import Scores
from selection.top import TargetRows

_AT_ONCE = 1 << 13  # rows kept per target; more are looked for when these have been used up


class InOrder:
    """All rows in one order."""

    def __init__(self, order: npt.NDArray[np.int64], steps: Pass) -> None:
        """`order`: the rows, best first."""
        self._order = order
        self._steps = steps
        self._phase = -1
        self._place = 0

    def next(self) -> int:
        """The first row that is open; there has to be one."""
        if self._phase != self._steps.phase:
            self._phase, self._place = self._steps.phase, 0
        while not self._steps.is_open(row := int(self._order[self._place])):
            self._place += 1
        return row


class BestRows:
    """Each target's rows by their scores, at any size of the pool."""

    def __init__(self, scores: Scores, steps: Pass) -> None:
        """Nothing is read before the first call of `of`."""
        self._scores = scores
        self._steps = steps
        self._phase = -1
        self._place = np.zeros(scores.shape[0], dtype=np.int64)
        self._ranked: TargetRows

    def of(self, target: int) -> tuple[int, float]:
        """The open row of this target's largest score, the first of ties; and that score."""
        if self._phase != self._steps.phase:
            self._look()
        row = self._next(target)
        if row is None:
            self._look()
            row = self._next(target)
            assert row is not None, "asked for a row while none is open"
        return row, float(self._ranked.scores[target, self._place[target]])

    def _next(self, target: int) -> int | None:
        """The first row of the ranking that is open; rows above it stay closed in this phase."""
        rows = self._ranked.rows[target]
        while self._place[target] < len(rows):
            row = int(rows[self._place[target]])
            if self._steps.is_open(row):
                return row
            self._place[target] += 1
        return None

    def _look(self) -> None:
        """Rank the rows that are open now."""
        steps = self._steps
        # Without constraints, of a target's k best rows one is always free.
        n = steps.most if steps.open is None else min(steps.most, _AT_ONCE)
        self._ranked = top_rows(self._scores, n, steps.open)
        self._place[:] = 0
        self._phase = steps.phase
