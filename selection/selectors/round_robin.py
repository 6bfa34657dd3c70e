"""Targets take turns; each takes its best row that is still free (the paper's selection)."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from selection.candidates import top_rows
from selection.result import Selection
from selection.scores import ScoreMatrix
from selection.selectors.base import Weights, build, check_k
from selection.weights import target_weights


@dataclass(frozen=True)
class RoundRobin:
    """Round-robin over targets; weights set how often each one's turn comes."""

    name = "round_robin"
    needs_matrix = False

    def select(self, scores: ScoreMatrix, k: int, *, weights: Weights | None = None) -> Selection:
        """See `Selector.select`. A row's gain is its score for the target whose turn it was."""
        targets, pool = scores.shape
        check_k(k, pool)
        share = target_weights(weights, targets)
        # Of its k best rows one is always free when a target's turn comes.
        ranked, ranked_scores = top_rows(scores, k)
        # A target's n-th turn is due at n / weight: equal weights make it strictly cyclic.
        due = [(1.0 / share[x], x, 1) for x in np.flatnonzero(share)]
        heapq.heapify(due)
        place = np.zeros(targets, dtype=np.int64)
        taken: set[int] = set()
        picks: list[int] = []
        gains: list[float] = []
        earners: list[int] = []
        while len(picks) < k:
            _, x, turn = due[0]
            heapq.heapreplace(due, ((turn + 1) / share[x], x, turn + 1))
            while int(ranked[x, place[x]]) in taken:
                place[x] += 1
            row = int(ranked[x, place[x]])
            taken.add(row)
            picks.append(row)
            gains.append(float(ranked_scores[x, place[x]]))
            earners.append(int(x))
        return build(self.name, scores, np.array(picks), np.array(gains), np.array(earners))
