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
from selection.best_rows import InOrder
from selection.constraints import BoundConstraints
from selection.objective import Objective
from selection.result import Selection
from selection.scores import Scores
from selection.selectors.base import Picks, Weights, begin, build
from selection.weights import target_weights

LOWEST_MEAN = "lowest_mean"


@dataclass(frozen=True)
class LowestMean:
    """Rank rows by their (weighted) mean score over the targets, the lowest first.

    Attributes:
        only_negative: Only rows whose mean is below 0; there may be fewer than k of them.
    """

    only_negative: bool = False
    name = LOWEST_MEAN
    needs_matrix = False
    # That higher is better is said of training: what is looked for here lowers it most.
    objective = Objective("score sum", "sum of the chosen rows' mean scores over the targets")

    def select(
        self,
        scores: Scores,
        k: int | None,
        *,
        weights: Weights | None = None,
        constraints: BoundConstraints | None = None,
    ) -> Selection:
        """See `Selector.select`. A row's gain is its mean score, so that gains ascend.

        A row counts for the target that it hurts most: that of the lowest weighted score.

        Raises:
            ArgumentError: As every selector; or only rows below 0 are wanted and there is none, or
                there are constraints beside that, which ask for a number of rows.
        """
        targets, pool = scores.shape
        share = target_weights(weights, targets)
        if self.only_negative and constraints is not None:
            raise ArgumentError(f"{self.name}: only_negative and constraints do not go together.")
        steps = begin(scores, k, share, constraints)
        mean, hurt = _means(scores, share)
        ranking = np.argsort(mean, kind="stable")
        if steps.open is None:
            worst = ranking[: steps.most]
            if self.only_negative:
                worst = worst[mean[worst] < 0]
            if not worst.size:
                raise ArgumentError(
                    f"no row hurts: of {counted(pool, 'row')} the lowest mean score over the "
                    f"targets is {mean[ranking[0]]:.3g}, and only below 0 a row is expected to "
                    "raise their loss."
                )
            return build(
                self.name, scores, worst, mean[worst], hurt[worst], objective=self.objective
            )
        picks, down = Picks(), InOrder(ranking, steps)
        while not steps.done:
            row = down.next()
            target = int(hurt[row])
            if steps.needy is not None:
                merit = share * scores.columns(np.array([row])).values()[:, 0]
                target = int(steps.needy[np.argmin(merit[steps.needy])])
            picks.add(row, float(mean[row]), target)
            steps.take(row, target)
        return picks.selection(self.name, scores, self.objective)


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
