"""Scorers: targets and pool to scores. Each loads on first use; some need torch."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selection.scorers.adam_gradient import AdamGradientScorer
    from selection.scorers.base import Scorer
    from selection.scorers.embedding import EmbeddingScorer
    from selection.scorers.gradient import GradientScorer
    from selection.scorers.hidden_states import RdsScorer
    from selection.scorers.lexical import Bm25Scorer, TfidfScorer
    from selection.scorers.random import RandomScorer
    from selection.scorers.score_average import ScoreAverage

_HOME = {
    "AdamGradientScorer": "adam_gradient",
    "Bm25Scorer": "lexical",
    "EmbeddingScorer": "embedding",
    "GradientScorer": "gradient",
    "RandomScorer": "random",
    "RdsScorer": "hidden_states",
    "ScoreAverage": "score_average",
    "Scorer": "base",
    "TfidfScorer": "lexical",
}

__all__ = [
    "AdamGradientScorer",
    "Bm25Scorer",
    "EmbeddingScorer",
    "GradientScorer",
    "RandomScorer",
    "RdsScorer",
    "ScoreAverage",
    "Scorer",
    "TfidfScorer",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"selection.scorers.{_HOME[name]}"), name)
    raise AttributeError(f"module 'selection.scorers' has no attribute {name!r}")
