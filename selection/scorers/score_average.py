"""The mean of several scorers' standardized scores: each has the same say, whatever its unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from airrep.errors import ArgumentError
from airrep.records import Example
from selection.scorers.base import Scorer, described
from selection.scores import DenseScores, Float32, Scores, check_finite

AVERAGE_SCALE = 0.25  # chosen on validation data, as every scale, never on what is reported

_FLAT = 1e-12  # of max |score|: far above rounding in float64, far below what float32 tells apart


@dataclass(frozen=True)
class ScoreAverage:
    """Mean of scorers' standardized scores, for each target.

    A scorer's scores of the pool rows for one target are standardized over the whole pool: less
    their mean, divided by their (population) standard deviation. A scorer whose scores for a target
    do not vary says nothing about it, and contributes 0. Rows that all scorers score alike get
    exactly the same score, and the order of the pool does not matter.

    So 0 means: as helpful to the target as the average pool row; and negative, less helpful than
    that. In a single scorer's scores negative means harm; here, it need not. In another pool the
    same row has another score.

    Not ranks, though they have no unit either: they lie evenly, and attention pooling lives on the
    few rows that stand out.

    Attributes:
        scorers: Two or more, each with the same weight.
    """

    scorers: Sequence[Scorer]
    embeds = False

    def __post_init__(self) -> None:
        if len(self.scorers) < 2:
            raise ArgumentError(
                f"a score average takes two scorers or more, found {len(self.scorers)}."
            )

    @property
    def name(self) -> str:
        """What reports and manifests call it."""
        return " + ".join(scorer.name for scorer in self.scorers)

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> Scores:
        """See `Scorer.score`. The scores (T, N) are computed at once, in 8·T·N bytes.

        Scorers work one after another, and what one needed is given back before the next.

        Raises:
            EmbeddingError: NaN or infinite somewhere.
        """
        mean = np.zeros((len(targets), len(pool)), dtype=np.float32)
        provenance: list[Mapping[str, Any]] = []
        for scorer in self.scorers:
            scores = scorer.score(targets, pool)
            _add_standardized(mean, scores)
            provenance += scores.provenance
            del scores  # before the next scorer is asked
        mean /= len(self.scorers)
        return DenseScores(mean, **described(self, targets, pool, AVERAGE_SCALE, provenance))


def _add_standardized(total: Float32, scores: Scores) -> None:
    """Add each target's standardized scores to its row of `total` (T, N)."""
    for mine, line in zip(total, scores.values(), strict=True):
        check_finite(line[None], 0)
        mine += _standardized(line)


def _standardized(line: Float32) -> Float32:
    """Scores (N,) of one target, less their mean, over their standard deviation; 0 if all alike."""
    # Sums round in the order of their terms: sorted, so that the order of the pool is no matter.
    ordered = np.sort(line).astype(np.float64)
    mean, deviation = ordered.mean(), ordered.std()
    if deviation <= _FLAT * max(-ordered[0], ordered[-1]):
        return np.zeros_like(line)
    return ((line.astype(np.float64) - mean) / deviation).astype(np.float32)
