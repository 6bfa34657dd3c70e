"""The k rows of the largest score, pooled over targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from airrep.errors import ArgumentError
from selection.best_rows import BestRows, InOrder
from selection.constraints import Pass
from selection.objective import Objective
from selection.result import Selection
from selection.scores import Scores
from selection.selectors.base import Picks, SizedByObjective, build


@dataclass(frozen=True)
class TopK(SizedByObjective):
    """Rank rows by their mean or their largest score over the targets.

    "mean" is the usual influence ranking; it collapses on to few kinds of rows. "max" takes rows
    that one target likes much; with weights, scores are multiplied by weight / largest weight
    first, and targets of weight 0 have no say.

    A row's gain is its pooled score. For targets that have not earned their least, the pick is the
    row of the largest score for one of them. The best size is that of the rows whose pooled score
    is above 0, at least one.
    """

    over: Literal["mean", "max"] = "max"

    def __post_init__(self) -> None:
        if self.over not in ("mean", "max"):
            raise ArgumentError(f"top-k over {self.over!r} is unknown; choose mean or max.")

    @property
    def objective(self) -> Objective:
        """A sum: what a row adds does not depend on the others."""
        pooled = "mean scores over the targets" if self.over == "mean" else "largest scores"
        return Objective("score sum", f"sum of the chosen rows' {pooled}")

    @property
    def name(self) -> str:
        """top_k_mean or top_k_max."""
        return f"top_k_{self.over}"

    def _pick_best(self, scores: Scores, share: npt.NDArray[np.float64], steps: Pass) -> Selection:
        chosen = self._pick(scores, share, steps)
        return chosen.first(max(1, int((chosen.gains > 0).sum())))

    def _pick(self, scores: Scores, share: npt.NDArray[np.float64], steps: Pass) -> Selection:
        pool = scores.shape[1]
        counted = np.flatnonzero(share)
        factors = (share if self.over == "mean" else share / share.max()).astype(np.float32)
        factor = factors[counted, None]
        pooled = np.empty(pool, dtype=np.float32)
        earner = np.empty(pool, dtype=np.int64)
        for start, block in scores.blocks():
            part = slice(start, start + block.shape[1])
            weighted = block[counted] * factor
            earner[part] = counted[np.argmax(weighted, axis=0)]
            pooled[part] = weighted.sum(axis=0) if self.over == "mean" else weighted.max(axis=0)
        ranking = np.argsort(-pooled, kind="stable")
        if steps.open is None:
            best = ranking[: steps.most]
            return build(
                self.name, scores, best, pooled[best], earner[best], objective=self.objective
            )
        picks, down, of_target = Picks(), InOrder(ranking, steps), BestRows(scores, steps)
        while not steps.done:
            if steps.needy is None:
                row = down.next()
                target = int(earner[row])
            else:
                found = [(int(x), *of_target.of(int(x))) for x in steps.needy]
                target, row, _ = max(found, key=lambda each: factors[each[0]] * each[2])
            picks.add(row, float(pooled[row]), target)
            steps.take(row, target)
        return picks.selection(self.name, scores, self.objective)
