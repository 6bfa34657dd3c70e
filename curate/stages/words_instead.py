"""Scores by words for texts in a script that the built-in encoder does not know."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from airrep.records import Example
from selection.scorers.embedding import MOST_UNKNOWN, OTHERS, unknown_shares
from selection.scorers.lexical import TfidfScorer
from selection.scores import Scores


def words_instead(
    encoder: Any,  # noqa: ANN401 (the built-in encoder)
    targets: Sequence[Example],
    pool: Sequence[Example],
) -> WordsInstead | None:
    """TF-IDF if most tokens of targets or pool are unknown to the encoder; else None."""
    shares = unknown_shares(encoder, targets, pool)
    return WordsInstead(shares, encoder.name) if max(shares.values()) > MOST_UNKNOWN else None


class WordsInstead(TfidfScorer):
    """TF-IDF, and a warning that says why.

    Only the encoder that nobody asked for is replaced: with one that was named, it is an error.
    """

    def __init__(self, unknown: dict[str, float], encoder: str) -> None:
        self.unknown, self.encoder = unknown, encoder

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> Scores:
        """See `Scorer.score`."""
        of = " and ".join(f"{share:.0%} of the {name}" for name, share in self.unknown.items())
        warnings.warn(
            f"{of} (by tokens) is unknown to {self.encoder}, so {self.name} scores the rows. "
            f"Better: {OTHERS}.",
            stacklevel=2,
        )
        scores = super().score(targets, pool)
        scores.provenance = [{"name": self.encoder, "unknown": self.unknown, "instead": self.name}]
        return scores
