"""Targets take turns; each takes its best row that is still free (the paper's selection)."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from selection.best_rows import BestRows
from selection.constraints import Pass
from selection.result import Selection
from selection.scores import Scores
from selection.selectors.base import NO_GAIN, Picks, RowByRow


@dataclass(frozen=True)
class RoundRobin(RowByRow):
    """Round-robin over targets; weights set how often each one's turn comes.

    A row's target is the one whose turn it was. There are no gains: turns follow no objective.
    While targets have not earned their least and need all that is left, only they have turns.
    """

    name = "round_robin"
    objective = None

    def _pick(self, scores: Scores, share: npt.NDArray[np.float64], steps: Pass) -> Selection:
        best = BestRows(scores, steps)
        # A target's n-th turn is due at n / weight: equal weights make it strictly cyclic.
        due = [(1.0 / share[x], int(x), 1) for x in np.flatnonzero(share)]
        heapq.heapify(due)
        picks = Picks()
        while not steps.done:
            _, x, turn = due[0]
            heapq.heapreplace(due, ((turn + 1) / share[x], x, turn + 1))
            if steps.needy is not None and x not in steps.needy:
                continue
            row, _ = best.of(x)
            picks.add(row, NO_GAIN, x)
            steps.take(row, x)
        return picks.selection(self.name, scores)
