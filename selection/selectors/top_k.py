"""The k rows of the largest score, pooled over targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from airrep.errors import ArgumentError
from selection.result import Selection
from selection.scores import ScoreMatrix
from selection.selectors.base import Weights, build, check_k
from selection.weights import target_weights


@dataclass(frozen=True)
class TopK:
    """Rank rows by their mean or their largest score over the targets.

    "mean" is the usual influence ranking; it collapses on to few kinds of rows. "max" takes rows
    that one target likes much; with weights, scores are multiplied by weight / largest weight
    first, and targets of weight 0 have no say.
    """

    over: Literal["mean", "max"] = "max"
    needs_matrix = False

    def __post_init__(self) -> None:
        if self.over not in ("mean", "max"):
            raise ArgumentError(f"top-k over {self.over!r} is unknown; choose mean or max.")

    @property
    def name(self) -> str:
        """top_k_mean or top_k_max."""
        return f"top_k_{self.over}"

    def select(self, scores: ScoreMatrix, k: int, *, weights: Weights | None = None) -> Selection:
        """See `Selector.select`. A row's gain is its pooled score."""
        targets, pool = scores.shape
        check_k(k, pool)
        share = target_weights(weights, targets)
        counted = np.flatnonzero(share)
        factor = share if self.over == "mean" else share / share.max()
        factor = factor[counted].astype(np.float32)[:, None]
        pooled = np.empty(pool, dtype=np.float32)
        earner = np.empty(pool, dtype=np.int64)
        for start, block in scores.blocks():
            part = slice(start, start + block.shape[1])
            weighted = block[counted] * factor
            earner[part] = counted[np.argmax(weighted, axis=0)]
            pooled[part] = weighted.sum(axis=0) if self.over == "mean" else weighted.max(axis=0)
        best = np.argsort(-pooled, kind="stable")[:k]
        return build(self.name, scores, best, pooled[best], earner[best])
