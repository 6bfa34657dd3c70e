"""From scores to a selection: the whole matrix where it fits, each target's best rows where not."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from airrep.errors import ArgumentError
from selection.candidates import shortlist
from selection.constraints import BoundConstraints
from selection.constraints.shortlist import constrained_shortlist
from selection.result import Selection
from selection.scores import ScoreMatrix
from selection.selectors import Selector
from selection.selectors.base import Weights, check_k
from selection.weights import target_weights

# A larger score matrix is not built: the selector then sees each target's best rows only.
MATRIX_BYTES = 2 << 30


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pool rows with their scores, from which selections of up to k rows are made.

    Attributes:
        scores: (targets, candidates).
        rows: Where the candidates are in the pool, if they are not all of it.
        constraints: Bound to the candidates, if there are any.
    """

    scores: ScoreMatrix
    rows: npt.NDArray[np.int64] | None = None
    constraints: BoundConstraints | None = None

    @classmethod
    def of(
        cls,
        scores: ScoreMatrix,
        k: int | None,
        selector: Selector,
        weights: Weights | None = None,
        constraints: BoundConstraints | None = None,
    ) -> Candidates:
        """All rows, or each target's k best where the matrix would not fit.

        Which those are does not depend on the targets' weights, unless there are constraints.

        Args:
            scores: (targets, pool).
            k: See `Selector.select`.
            selector: What will choose.
            weights: (targets,) how much each counts.
            constraints: Bound to the same pool.

        Raises:
            ArgumentError: The constraints cannot be met, or the selector keeps to none.
        """
        _check_constraints(selector, constraints)
        if not selector.needs_matrix or _fits(scores):
            return cls(scores, None, constraints)
        if constraints is None:
            check_k(k, scores.shape[1])
            rows = shortlist(scores, int(k or 0))
            return cls(scores.columns(rows), rows)
        share = target_weights(weights, scores.shape[0])
        rows = constrained_shortlist(scores, k, constraints, share)
        return cls(scores.columns(rows), rows, constraints.columns(rows))

    def choose(self, selector: Selector, k: int | None, weights: Weights | None) -> Selection:
        """The best of them, as positions in the pool."""
        if self.constraints is None:  # a selector of one's own need not know of constraints
            chosen = selector.select(self.scores, k, weights=weights)
        else:
            chosen = selector.select(self.scores, k, weights=weights, constraints=self.constraints)
        return chosen if self.rows is None else chosen.relocated(self.rows)


def at_hand(selector: Selector, scores: ScoreMatrix) -> ScoreMatrix:
    """The scores, as a matrix that exists if the selector needs one and it fits: for all after."""
    if not selector.needs_matrix or not _fits(scores) or scores.dense is not None:
        return scores
    return ScoreMatrix.from_array(
        scores.values(), target_ids=scores.target_ids, pool_ids=scores.pool_ids,
        method=scores.method, scale=scores.scale,
    )  # fmt: skip


def _fits(scores: ScoreMatrix) -> bool:
    targets, pool = scores.shape
    return 4 * targets * pool <= MATRIX_BYTES


def _check_constraints(selector: Selector, constraints: BoundConstraints | None) -> None:
    known = inspect.signature(selector.select).parameters
    if constraints is not None and "constraints" not in known:
        raise ArgumentError(
            f"selector {selector.name!r} keeps to no constraints: its select has no argument of "
            "that name. Leave constraints out, or choose another selector."
        )
