"""Rows drawn at random: what every other selector has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selection.best_rows import InOrder
from selection.constraints import BoundConstraints
from selection.result import Selection
from selection.scores import Scores
from selection.selectors.base import NO_GAIN, Picks, Weights, begin, build
from selection.weights import target_weights


@dataclass(frozen=True)
class RandomSelector:
    """A uniform draw without replacement, in random order."""

    seed: int = 0
    name = "random"
    needs_matrix = False
    objective = None

    def select(
        self,
        scores: Scores,
        k: int | None,
        *,
        weights: Weights | None = None,
        constraints: BoundConstraints | None = None,
    ) -> Selection:
        """See `Selector.select`. There are no gains: chance has no objective."""
        targets, pool = scores.shape
        share = target_weights(weights, targets)
        steps = begin(scores, k, share, constraints)
        drawn = np.random.default_rng(self.seed).permutation(pool).astype(np.int64)
        counted = np.flatnonzero(share)
        if steps.open is None:
            rows = drawn[: steps.most]
            unique, place = np.unique(rows, return_inverse=True)
            weighted = scores.columns(unique).values()[counted] * share[counted, None]
            earners = counted[np.argmax(weighted, axis=0)][place]
            return build(self.name, scores, rows, np.full(len(rows), NO_GAIN), earners)
        liked = [
            counted[np.argmax(part[counted] * share[counted, None], axis=0)]
            for _, part in scores.blocks()
        ]
        earner = np.concatenate(liked)
        picks, down = Picks(), InOrder(drawn, steps)
        while not steps.done:
            row = down.next()
            target = int(earner[row])
            if steps.needy is not None:
                merit = share * scores.columns(np.array([row])).values()[:, 0]
                target = int(steps.needy[np.argmax(merit[steps.needy])])
            picks.add(row, NO_GAIN, target)
            steps.take(row, target)
        return picks.selection(self.name, scores)
