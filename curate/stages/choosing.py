"""From scores to a selection: the whole matrix where it fits; where not, what stands for it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.errors import ArgumentError
from selection.candidates import shortlist
from selection.capabilities import SelectorCapabilities
from selection.certified import certified_greedy
from selection.constraints import BoundConstraints
from selection.constraints.shortlist import constrained_shortlist
from selection.result import Selection
from selection.scores import Scores
from selection.selectors import Selector
from selection.selectors.base import AUTO, Size, SizesItself, Weights, check_k
from selection.selectors.group_greedy import GroupGreedy
from selection.weights import target_weights

DEFAULT_K = 1000
# A larger score matrix is not built, unless the user allows more: a selector takes twice as much.
MATRIX_BYTES = 2 << 30
_FIRST_LAYER = 256  # rows in which a layer most often closes
_UNITS = {
    "": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
}
_LIMIT = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*([kmg]i?b)?")


class AtMost(int):
    """A number of rows that nobody asked for: fewer are chosen where there are fewer."""


def memory_of(limit: str | int | None) -> int:
    """Bytes that scores and selection may take; None is the default, twice `MATRIX_BYTES`.

    Raises:
        ArgumentError: Neither a positive number of bytes nor text such as "4GB" or "512 MiB".
    """
    if limit is None:
        return 2 * MATRIX_BYTES
    if isinstance(limit, int) and not isinstance(limit, bool):
        size = limit
    else:
        found = _LIMIT.fullmatch(limit.strip().lower()) if isinstance(limit, str) else None
        size = int(float(found[1]) * _UNITS[found[2] or ""]) if found else 0
    if size < 1:
        raise ArgumentError(
            f'memory_limit should be a number of bytes, or text such as "4GB" or "512MiB"; found '
            f"{limit!r}."
        )
    return size


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pool rows with their scores, from which selections of up to k rows are made.

    Attributes:
        scores: (targets, candidates).
        rows: Where the candidates are in the pool, if they are not all of it.
        constraints: Bound to the candidates, if there are any.
        certify: Bytes for a certified greedy, where the scores are the whole pool's and do not fit.
    """

    scores: Scores
    rows: npt.NDArray[np.int64] | None = None
    constraints: BoundConstraints | None = None
    certify: int | None = None

    @classmethod
    def of(
        cls,
        scores: Scores,
        k: Size | None,
        selector: Selector,
        weights: Weights | None = None,
        constraints: BoundConstraints | None = None,
        memory: int = 2 * MATRIX_BYTES,
    ) -> Candidates:
        """All rows; or, where the matrix would not fit, the rows that look best.

        For the layered greedy without constraints these are found when it chooses, and it is
        certified that no other row would have been chosen. For other selectors they are each
        target's k best rows. Which those are does not depend on the targets' weights, unless there
        are constraints.

        Args:
            scores: (targets, pool).
            k: See `Selector.select`; or "auto" (see `SizesItself`), without constraints.
            selector: What will choose.
            weights: (targets,) how much each counts.
            constraints: Bound to the same pool.
            memory: Bytes for scores and selection.

        Raises:
            ArgumentError: The constraints cannot be met, or the selector keeps to none; or not even
                the best rows fit.
        """
        able = SelectorCapabilities.of(selector)
        if constraints is not None and not able.keeps_constraints:
            raise ArgumentError(
                f"selector {selector.name!r} keeps to no constraints: it does not declare "
                "keeps_constraints = True. Leave constraints out, or choose another selector."
            )
        if not able.needs_matrix or fits(scores, memory):
            return cls(scores, None, constraints)
        if k == AUTO and not able.certifiable:
            raise ArgumentError(
                f"memory_limit: k = 'auto' of {selector.name} needs all {scores.shape[0]:,} x "
                f"{scores.shape[1]:,} scores, and they do not fit. Raise it, give k as a number, "
                "or choose herding or layered_greedy."
            )
        if k == AUTO:
            return cls(scores, certify=memory)
        if constraints is None:
            check_k(k, scores.shape[1])
            if able.certifiable:
                return cls(scores, certify=memory)
            rows = shortlist(scores, int(k or 0))
        else:
            share = target_weights(weights, scores.shape[0])
            rows = constrained_shortlist(scores, k, constraints, share)
        if 8 * scores.shape[0] * len(rows) > memory:
            raise ArgumentError(
                f"memory_limit: {counted(len(rows), 'candidate')} for "
                f"{counted(scores.shape[0], 'target')} take "
                f"{8 * scores.shape[0] * len(rows) / 2**30:.2f} GiB, and it leaves "
                f"{memory / 2**30:.2f}. Raise it, lower k, give fewer targets, or take "
                "layered_greedy without constraints."
            )
        bound = None if constraints is None else constraints.columns(rows)
        return cls(scores.columns(rows), rows, bound)

    def choose(self, selector: Selector, k: Size | None, weights: Weights | None) -> Selection:
        """The best of them, as positions in the pool."""
        if self.certify is not None:
            assert isinstance(selector, GroupGreedy)
            if k == AUTO:
                return self._first_layer(selector, weights, self.certify)
            return certified_greedy(
                selector, self.scores, int(k or 0), weights, memory=self.certify
            )
        if k == AUTO:
            assert isinstance(selector, SizesItself)
            return selector.select_best_size(self.scores, weights=weights)
        if self.constraints is None:  # a selector of one's own need not know of constraints
            chosen = selector.select(self.scores, k, weights=weights)
        else:
            chosen = selector.select(self.scores, k, weights=weights, constraints=self.constraints)
        return chosen if self.rows is None else chosen.relocated(self.rows)

    def _first_layer(
        self, selector: GroupGreedy, weights: Weights | None, memory: int
    ) -> Selection:
        """The certified greedy's first layer: twice as many rows, until a second one begins."""
        pool = self.scores.shape[1]
        k = min(pool, _FIRST_LAYER)
        while True:
            chosen = certified_greedy(selector, self.scores, k, weights, memory=memory)
            size = int((chosen.layers == 0).sum())
            if size < k or k == pool:
                return chosen.first(size)
            k = min(pool, 2 * k)


def at_hand(selector: Selector, scores: Scores, memory: int) -> Scores:
    """The scores, as a matrix that exists if the selector needs one and it fits: for all after."""
    needed = SelectorCapabilities.of(selector).needs_matrix
    return scores.held() if needed and fits(scores, memory) else scores


def fits(scores: Scores, memory: int) -> bool:
    """Whether a selector may hold all scores, and as much again to work on."""
    targets, pool = scores.shape
    return 8 * targets * pool <= memory
