"""Greedy selection by group influence, plain and layered.

The objective is not monotone: once the group serves the targets well, every further row dilutes
it. Forced on to k rows, the plain greedy then fills up with rows that matter to nobody, because
they dilute least. The layered greedy closes the group when no row has a positive gain (beyond
rounding), and grows the next one from the rows that are left; each layer serves all targets again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selection.group import GroupInfluence
from selection.result import Selection
from selection.scores import ScoreMatrix, check_scale
from selection.selectors.base import Weights, build, check_k
from selection.weights import target_weights


@dataclass(frozen=True)
class GroupGreedy:
    """Add the row with the largest gain in weighted group influence, k times.

    Attributes:
        layered: Start a new group when no gain is positive.
        scale: Inverse temperature of the attention; None takes the scores' own. A larger one
            makes layers longer and follows each target's best rows more strictly.
    """

    layered: bool = True
    scale: float | None = None
    needs_matrix = True

    def __post_init__(self) -> None:
        check_scale(self.scale)

    @property
    def name(self) -> str:
        """layered_greedy or plain_greedy."""
        return "layered_greedy" if self.layered else "plain_greedy"

    def select(self, scores: ScoreMatrix, k: int, *, weights: Weights | None = None) -> Selection:
        """See `Selector.select`. A row's gain is what it added to its group's influence."""
        targets, pool = scores.shape
        check_k(k, pool)
        share = target_weights(weights, targets)
        picks, earners, layers = (np.empty(k, dtype=np.int64) for _ in range(3))
        gains = np.empty(k)
        layer = 0
        scale = scores.scale if self.scale is None else self.scale
        with GroupInfluence(scores.values(), share, scale) as group:
            for rank in range(k):
                row, gain = group.best()
                if self.layered and group.size and gain <= group.rounding:
                    layer += 1
                    group.start_group()
                    row, gain = group.best()
                change = group.add(row)
                picks[rank], gains[rank], layers[rank] = row, gain, layer
                earners[rank] = int(np.argmax(np.where(share > 0, change, -np.inf)))
        return build(self.name, scores, picks, gains, earners, layers)
