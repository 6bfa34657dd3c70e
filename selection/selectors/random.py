"""Rows drawn at random: what every other selector has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from selection.constraints import Pass
from selection.result import Selection
from selection.scores import Scores
from selection.selectors.base import NO_GAIN, RowByRow, in_order


@dataclass(frozen=True)
class RandomSelector(RowByRow):
    """A uniform draw without replacement, in random order. Chance has no objective."""

    seed: int = 0
    name = "random"
    objective = None

    def _pick(self, scores: Scores, share: npt.NDArray[np.float64], steps: Pass) -> Selection:
        pool = scores.shape[1]
        drawn = np.random.default_rng(self.seed).permutation(pool).astype(np.int64)
        counted = np.flatnonzero(share)
        earners = np.zeros(pool, dtype=np.int64)

        def like(part: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
            return counted[np.argmax(part[counted] * share[counted, None], axis=0)]

        if steps.open is None:  # then only these are looked at
            rows = np.sort(drawn[: steps.most])
            earners[rows] = like(scores.columns(rows).values())
        else:
            for start, block in scores.blocks():
                earners[start : start + block.shape[1]] = like(block)
        return in_order(self, scores, share, steps, drawn, np.full(pool, NO_GAIN), earners)
