"""Coverage: a soft version of "every target has some good row", which is submodular.

    C(S) = Σ_x (w_x / τ) · log(1 + Σ_{i∈S} exp(τ s_i))

It is monotone, and each row adds less the larger S is. So gains computed earlier are upper bounds
(Minoux' lazy greedy, 1978): only rows whose old gain reaches the best new one are computed again,
and the picks are those of the full greedy, within 1 - 1/e of the best set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from selection.best_rows import BestRows
from selection.constraints import Pass
from selection.objective import Objective
from selection.result import Selection
from selection.scores import Scores, check_scale
from selection.selectors.base import Picks, SizedByObjective, earner
from selection.top import largest

_LIKELY = 64  # runners-up of a pick; of the next one, they show what a row has to reach
_AT_ONCE = 1 << 19  # scores taken through float64 at once
_ROUNDING = 2.0**-24  # of a score in float32, relative
_SLACK = 1e-9  # relative; far above the rounding of a gain, far below what would cost time


@dataclass(frozen=True)
class Coverage(SizedByObjective):
    """Lazy greedy on the coverage of the targets.

    A row's gain is what it added to C. For targets that have not earned their least, the pick is
    the row that adds most to the coverage of one of them.

    The best size is where no row adds to C more than the scores are rounded by. C grows with every
    row: only a scale at which rows beyond the best have no weight ends that before the pool does.

    Attributes:
        scale: τ; None takes the scores' own. A larger one comes closer to "each target's best row".
    """

    scale: float | None = None
    name = "coverage"
    needs_matrix = True
    objective = Objective("coverage", "coverage of the targets, C(S)")

    def __post_init__(self) -> None:
        check_scale(self.scale)

    def _pick_best(self, scores: Scores, share: npt.NDArray[np.float64], steps: Pass) -> Selection:
        return self._pick(scores, share, steps, while_it_grows=True)

    def _pick(
        self,
        scores: Scores,
        share: npt.NDArray[np.float64],
        steps: Pass,
        *,
        while_it_grows: bool = False,
    ) -> Selection:
        targets, pool = scores.shape
        scale = scores.scale if self.scale is None else self.scale
        values = scores.values()
        covered = np.zeros(targets)  # log(1 + Σ exp(τ s)) per target
        width = max(1, _AT_ONCE // targets)

        def gains_of(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
            gains = np.empty(len(rows))
            for start in range(0, len(rows), width):
                part = slice(start, start + width)
                logits = scale * values[:, rows[part]].astype(np.float64) - covered[:, None]
                gains[part] = np.einsum("t,tn->n", share / scale, _softplus(logits))
            return gains

        def best_for_one(needy: npt.NDArray[np.int64]) -> int:
            # what a row adds for one target grows with its score
            rows = np.array([of_target.of(int(x))[0] for x in needy])
            logits = scale * values[needy, rows].astype(np.float64) - covered[needy]
            return int(rows[np.argmax(share[needy] * _softplus(logits))])

        rounding = _ROUNDING * float(np.abs(values).max())
        bounds = gains_of(np.arange(pool))
        of_target = BestRows(scores, steps)
        runners_up = np.empty(0, dtype=np.int64)
        picks = Picks()
        while not steps.done:
            if steps.needy is None:
                open_bounds = bounds
                if steps.open is not None:
                    open_bounds = np.where(steps.open, bounds, -np.inf)
                likely = runners_up[open_bounds[runners_up] > -np.inf]
                reached = gains_of(np.append(likely, np.argmax(open_bounds))).max()
                fresh = np.flatnonzero(open_bounds >= reached * (1 - _SLACK))
                bounds[fresh] = gains_of(fresh)
                row = int(fresh[np.argmax(bounds[fresh])])
                runners_up = fresh[fresh != row]
                runners_up = runners_up[largest(bounds[runners_up], _LIKELY)]
            else:
                row = best_for_one(steps.needy)
                bounds[row] = gains_of(np.array([row]))[0]
            if while_it_grows and picks.any and bounds[row] <= rounding:
                break
            new = np.logaddexp(covered, scale * values[:, row].astype(np.float64))
            target = earner(share * (new - covered), share, steps.needy)
            picks.add(row, float(bounds[row]), target)
            bounds[row] = -np.inf
            covered = new
            steps.take(row, target)
        return picks.selection(self.name, scores, self.objective)


def _softplus(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """log(1 + exp(x)) without overflow; faster than `np.logaddexp(0, x)`."""
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))
