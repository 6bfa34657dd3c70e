"""Rows drawn at random: what every other selector has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selection.result import Selection
from selection.scores import ScoreMatrix
from selection.selectors.base import Weights, build, check_k
from selection.weights import target_weights


@dataclass(frozen=True)
class RandomSelector:
    """A uniform draw without replacement, in random order."""

    seed: int = 0
    name = "random"
    needs_matrix = False

    def select(self, scores: ScoreMatrix, k: int, *, weights: Weights | None = None) -> Selection:
        """See `Selector.select`. Gains are 0: chance claims none."""
        targets, pool = scores.shape
        check_k(k, pool)
        share = target_weights(weights, targets)
        picks = np.random.default_rng(self.seed).permutation(pool)[:k].astype(np.int64)
        unique, place = np.unique(picks, return_inverse=True)
        counted = np.flatnonzero(share)
        weighted = scores.columns(unique).values()[counted] * share[counted, None]
        earners = counted[np.argmax(weighted, axis=0)][place]
        return build(self.name, scores, picks, np.zeros(k), earners)
