"""Scorers: targets and pool to scores. Each loads on first use; some need torch."""

from typing import TYPE_CHECKING

from airrep.machine.lazy import lazily

if TYPE_CHECKING:
    from selection.scorers.adam_gradient import AdamGradientScorer as AdamGradientScorer
    from selection.scorers.base import Scorer as Scorer
    from selection.scorers.embedding import EmbeddingScorer as EmbeddingScorer
    from selection.scorers.gradient import GradientScorer as GradientScorer
    from selection.scorers.hidden_states import RdsScorer as RdsScorer
    from selection.scorers.lexical import Bm25Scorer as Bm25Scorer
    from selection.scorers.lexical import TfidfScorer as TfidfScorer
    from selection.scorers.nudge import NudgeScorer as NudgeScorer
    from selection.scorers.random import RandomScorer as RandomScorer
    from selection.scorers.score_average import ScoreAverage as ScoreAverage

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "selection.scorers.adam_gradient": ["AdamGradientScorer"],
        "selection.scorers.base": ["Scorer"],
        "selection.scorers.embedding": ["EmbeddingScorer"],
        "selection.scorers.gradient": ["GradientScorer"],
        "selection.scorers.hidden_states": ["RdsScorer"],
        "selection.scorers.lexical": ["Bm25Scorer", "TfidfScorer"],
        "selection.scorers.nudge": ["NudgeScorer"],
        "selection.scorers.random": ["RandomScorer"],
        "selection.scorers.score_average": ["ScoreAverage"],
    },
)
