"""Pool rows with their scores, from which every round chooses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.api import MATRIX_BYTES
from selection.candidates import shortlist
from selection.result import Selection
from selection.scores import ScoreMatrix
from selection.selectors import Selector
from selection.selectors.base import Weights


@dataclass(frozen=True, eq=False)
class Candidates:
    """What a selector may see of the pool.

    Attributes:
        scores: (targets, candidates).
        rows: Where the candidates are in the pool, if they are not all of it.
    """

    scores: ScoreMatrix
    rows: npt.NDArray[np.int64] | None = None

    @classmethod
    def of(cls, scores: ScoreMatrix, k: int, selector: Selector) -> Candidates:
        """All rows, or each target's k best where the matrix would not fit, as `select` does.

        Which those are does not depend on the targets' weights, so that they are found once.
        """
        targets, pool = scores.shape
        if not selector.needs_matrix or 4 * targets * pool <= MATRIX_BYTES:
            return cls(scores)
        rows = shortlist(scores, k)
        return cls(scores.columns(rows), rows)

    def choose(self, selector: Selector, k: int, weights: Weights) -> Selection:
        """The k rows, as positions in the pool."""
        chosen = selector.select(self.scores, k, weights=weights)
        return chosen if self.rows is None else chosen.relocated(self.rows)
