"""Coverage: a soft version of "every target has some good row", which is submodular.

    C(S) = Σ_x (w_x / τ) · log(1 + Σ_{i∈S} exp(τ s_i))

It is monotone, and each row adds less the larger S is. So gains computed earlier are upper bounds
(Minoux' lazy greedy, 1978): only rows whose old gain tops the list are computed again, and the
picks are those of the full greedy, within 1 - 1/e of the best set.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from selection.result import Selection
from selection.scores import ScoreMatrix, check_scale
from selection.selectors.base import Weights, build, check_k
from selection.weights import target_weights

_AT_ONCE = 64  # stale rows computed again together


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

        def gains_of(rows: npt.NDArray[np.int64] | slice) -> npt.NDArray[np.float64]:
            logits = scale * values[:, rows].astype(np.float64) - covered[:, None]
            return (share / scale) @ np.logaddexp(0.0, logits)

        bounds = np.concatenate(
            [gains_of(slice(start, start + block.shape[1])) for start, block in scores.blocks()]
        )
        queue = [(-bound, row) for row, bound in enumerate(bounds.tolist())]
        heapq.heapify(queue)
        computed_at = np.zeros(pool, dtype=np.int64)  # size of S when the bound was computed
        picks, earners = np.empty(k, dtype=np.int64), np.empty(k, dtype=np.int64)
        gains = np.empty(k)
        for rank in range(k):
            while computed_at[queue[0][1]] < rank:
                stale = _pop_stale(queue, computed_at, rank)
                for row, gain in zip(stale.tolist(), gains_of(stale).tolist(), strict=True):
                    computed_at[row] = rank
                    heapq.heappush(queue, (-gain, row))
            bound, row = heapq.heappop(queue)
            logits = scale * values[:, row].astype(np.float64)
            new = np.logaddexp(covered, logits)
            earners[rank] = int(np.argmax(np.where(share > 0, share * (new - covered), -np.inf)))
            picks[rank], gains[rank], covered = row, -bound, new
        return build(self.name, scores, picks, gains, earners)


def _pop_stale(
    queue: list[tuple[float, int]], computed_at: npt.NDArray[np.int64], rank: int
) -> npt.NDArray[np.int64]:
    stale: list[int] = []
    while queue and len(stale) < _AT_ONCE and computed_at[queue[0][1]] < rank:
        stale.append(heapq.heappop(queue)[1])
    return np.array(stale, dtype=np.int64)
