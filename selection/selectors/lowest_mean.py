"""The k rows of the lowest mean score: those that hurt most.

Not one of `SELECTORS`: it does not choose what to train on, and a training set made of the rows
that hurt would be one wrong word in a config file away. `curate.harmful` uses it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.errors import ArgumentError
from selection.constraints import Pass
from selection.objective import Objective
from selection.result import Selection
from selection.scores import Scores
from selection.selectors.base import RowByRow, in_order

LOWEST_MEAN = "lowest_mean"


@dataclass(frozen=True)
class LowestMean(RowByRow):
    """Rank rows by their (weighted) mean score over the targets, the lowest first.

    A row's gain is its mean score, so that gains ascend. A row counts for the target that it hurts
    most: that of the lowest weighted score. It is an ArgumentError if only rows below 0 are wanted
    and there is none, or there are constraints beside that, which ask for a number of rows.

    Attributes:
        only_negative: Only rows whose mean is below 0; there may be fewer than k of them.
    """

    only_negative: bool = False
    name = LOWEST_MEAN
    # That higher is better is said of training: what is looked for here lowers it most.
    objective = Objective("score sum", "sum of the chosen rows' mean scores over the targets")

    def _pick(self, scores: Scores, share: npt.NDArray[np.float64], steps: Pass) -> Selection:
        if self.only_negative and steps.open is not None:
            raise ArgumentError(f"{self.name}: only_negative and constraints do not go together.")
        mean, hurt = _means(scores, share)
        ranking = np.argsort(mean, kind="stable")
        if self.only_negative:
            ranking = ranking[: np.count_nonzero(mean < 0)]
            if not ranking.size:
                raise ArgumentError(
                    f"no row hurts: of {counted(len(mean), 'row')} the lowest mean score over the "
                    f"targets is {mean.min():.3g}, and only below 0 a row is expected to raise "
                    "their loss."
                )
        return in_order(self, scores, share, steps, ranking, mean, hurt, sign=-1)


def _means(
    scores: Scores, share: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Each row's weighted mean, and the target whose weighted score is the lowest; (N,) both."""
    pool = scores.shape[1]
    counted = np.flatnonzero(share)
    mean, hurt = np.empty(pool), np.empty(pool, dtype=np.int64)
    for start, block in scores.blocks():
        part = slice(start, start + block.shape[1])
        weighted = block[counted] * share[counted, None]  # in float64: the weights are
        mean[part] = weighted.sum(axis=0)
        hurt[part] = counted[np.argmin(weighted, axis=0)]
    return mean, hurt
