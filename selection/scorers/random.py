"""Scores drawn at random: the floor under every other scorer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from airrep.records import Example
from selection.scorers.base import described
from selection.scores import BLOCK, BlockScores, Scores


@dataclass(frozen=True)
class RandomScorer:
    """Standard normal scores; each block of the pool has a stream of its own."""

    seed: int = 0
    name = "random"
    embeds = False

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> Scores:
        """See `Scorer.score`."""

        def block(start: int, stop: int) -> npt.NDArray[np.float32]:
            rng = np.random.default_rng([self.seed, start // BLOCK])
            whole = rng.standard_normal((len(targets), BLOCK), dtype=np.float32)
            return whole[:, : stop - start]

        return BlockScores(block, **described(self, targets, pool))
