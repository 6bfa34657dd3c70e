"""The mean of several scorers' ranks: each has the same say, whatever the unit of its scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from airrep.errors import ArgumentError
from airrep.records import Example
from selection.scorers.base import Scorer, ids
from selection.scores import ScoreMatrix, check_finite

# Chosen on validation data, as every scale, never on what is reported; so far, that of cosines.
RANK_SCALE = 5.0


@dataclass(frozen=True)
class RankAverage:
    """Mean of scorers' ranks of the pool rows, for each target, in (-1, 1).

    The r-th lowest of N rows counts (2r - 1 - N) / N; rows with equal scores share the mean of
    their ranks, so that their order in the pool does not matter.

    Attributes:
        scorers: Two or more, each with the same weight.
    """

    scorers: Sequence[Scorer]

    def __post_init__(self) -> None:
        if len(self.scorers) < 2:
            raise ArgumentError(
                f"a rank average takes two scorers or more, found {len(self.scorers)}."
            )

    @property
    def name(self) -> str:
        """What reports and manifests call it."""
        return " + ".join(scorer.name for scorer in self.scorers)

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> ScoreMatrix:
        """See `Scorer.score`. The scores (T, N) are computed at once, in 8·T·N bytes.

        Scorers work one after another, and what one needed is given back before the next.
        """
        return self.average((s.score(targets, pool) for s in self.scorers), targets, pool)

    def average(
        self, scores: Iterable[ScoreMatrix], targets: Sequence[Example], pool: Sequence[Example]
    ) -> ScoreMatrix:
        """`score`, from the scores (T, N) of each scorer.

        Raises:
            EmbeddingError: NaN or infinite somewhere.
        """
        rows = len(pool)
        # Doubled ranks are whole numbers: sums are exact, and equal ones stay equal.
        total = np.zeros((len(targets), rows), dtype=np.int32)
        for matrix in scores:
            _add_ranks(total, matrix)
            del matrix  # before the next scorer is asked
        mean = np.empty(total.shape, dtype=np.float32)
        np.divide(total, len(self.scorers) * rows, out=mean, casting="same_kind")
        return ScoreMatrix.from_array(
            mean, target_ids=ids(targets), pool_ids=ids(pool), method=self.name, scale=RANK_SCALE
        )


def _add_ranks(total: npt.NDArray[np.int32], scores: ScoreMatrix) -> None:
    """Add the doubled ranks of each target's rows, less N + 1, so that they sum to 0."""
    from scipy.stats import rankdata  # here, because it takes half a second to import

    for mine, line in zip(total, scores.values(), strict=True):
        check_finite(line[None], 0)
        doubled = 2 * rankdata(line, method="average")
        mine += doubled.astype(np.int32) - np.int32(len(mine) + 1)
