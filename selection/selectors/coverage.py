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

from selection.result import Selection
from selection.scores import ScoreMatrix, check_scale
from selection.selectors.base import Weights, build, check_k
from selection.weights import target_weights

_LIKELY = 64  # runners-up of a pick; of the next one, they show what a row has to reach
_AT_ONCE = 1 << 19  # scores taken through float64 at once
_SLACK = 1e-9  # relative; far above the rounding of a gain, far below what would cost time


@dataclass(frozen=True)
class Coverage:
    """Lazy greedy on the coverage of the targets.

    Attributes:
        scale: τ; None takes the scores' own. A larger one comes closer to "each target's best row".
    """

    scale: float | None = None
    name = "coverage"
    needs_matrix = True

    def __post_init__(self) -> None:
        check_scale(self.scale)

    def select(self, scores: ScoreMatrix, k: int, *, weights: Weights | None = None) -> Selection:
        """See `Selector.select`. A row's gain is what it added to C."""
        targets, pool = scores.shape
        check_k(k, pool)
        share = target_weights(weights, targets)
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

        bounds = gains_of(np.arange(pool))
        runners_up = np.empty(0, dtype=np.int64)
        picks, earners = np.empty(k, dtype=np.int64), np.empty(k, dtype=np.int64)
        gains = np.empty(k)
        for rank in range(k):
            reached = gains_of(np.append(runners_up, np.argmax(bounds))).max()
            fresh = np.flatnonzero(bounds >= reached * (1 - _SLACK))
            bounds[fresh] = gains_of(fresh)
            row = int(np.argmax(bounds))
            new = np.logaddexp(covered, scale * values[:, row].astype(np.float64))
            earners[rank] = int(np.argmax(np.where(share > 0, share * (new - covered), -np.inf)))
            picks[rank], gains[rank], covered = row, bounds[row], new
            bounds[row] = -np.inf
            others = fresh[fresh != row]
            runners_up = others[np.argsort(-bounds[others])[:_LIKELY]]
        return build(self.name, scores, picks, gains, earners)


def _softplus(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """log(1 + exp(x)) without overflow; faster than `np.logaddexp(0, x)`."""
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))
