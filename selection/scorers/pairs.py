"""Influence of rows that compare answers: preferences, and answers that are wished for or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from airrep.records import Example
from selection.capabilities import ScorerCapabilities
from selection.scorers.base import Scorer, described
from selection.scores import BlockScores, Scores


@dataclass(frozen=True)
class PairScorer:
    """Of a preference, the influence of the chosen answer less that of the rejected one.

    Training on a preference (DPO) raises the chosen answer's likelihood and lowers the rejected
    one's: at its start the gradient of its loss is, but for a factor that is the same for all
    rows, the difference of the two answers' gradients. So influence, which is linear in the row's
    gradient, is a difference as well; for a target that is a preference likewise. Of an answer
    with a label (KTO), it is the influence of the answer, negated where it is not wished for.
    `gradient_cosine` compares directions and not gradients, so that there it is a difference of
    cosines.

    Attributes:
        scorer: Scores of single answers, below 0 where they hurt.
    """

    scorer: Scorer

    @property
    def name(self) -> str:
        """The scorer's."""
        return self.scorer.name

    @property
    def signed(self) -> bool:
        """See `ScorerCapabilities`."""
        return ScorerCapabilities.of(self.scorer).signed

    @property
    def selector(self) -> str:
        """See `ScorerCapabilities`."""
        return ScorerCapabilities.of(self.scorer).selector

    embeds = False

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> Scores:
        """See `Scorer.score`."""
        queries, rows = _Answers(targets), _Answers(pool)
        scores = self.scorer.score(queries.examples, rows.examples)

        def block(start: int, stop: int) -> npt.NDArray[np.float32]:
            found = rows.signs[start:stop] * scores.block(start, stop)
            other = rows.rejected[start:stop]
            if (other >= 0).any():
                found[:, other >= 0] -= scores.columns(other[other >= 0]).values()
            made = queries.signs[:, None] * found[: len(targets)]
            against = queries.rejected
            made[against >= 0] -= found[against[against >= 0]]
            return made.astype(np.float32, copy=False)

        facts = described(self, targets, pool, scores.scale, scores.provenance)
        return BlockScores(block, **facts)


class _Answers:
    """All answers of examples, one an example: the first of each, then those that were rejected.

    Attributes:
        examples: They.
        signs: (n,) -1 where an example's answer is not wished for, else 1.
        rejected: (n,) where among the answers an example's rejected one is, -1 if it has none.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = list(examples)
        count = len(self.examples)
        unwanted = [example.label is False for example in self.examples]
        self.signs = np.where(unwanted, -1.0, 1.0).astype(np.float32)
        self.rejected = np.full(count, -1, dtype=np.int64)
        for i in range(count):
            other = self.examples[i].against
            if other is not None:
                self.rejected[i] = len(self.examples)
                self.examples.append(other)
