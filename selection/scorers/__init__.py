"""Scorers: targets and pool to scores. Each loads on first use; some need torch."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selection.scorers.base import Scorer
    from selection.scorers.embedding import EmbeddingScorer
    from selection.scorers.gradient import GradientScorer
    from selection.scorers.hidden_states import RdsScorer
    from selection.scorers.lexical import Bm25Scorer, TfidfScorer
    from selection.scorers.random import RandomScorer
    from selection.scorers.rank_average import RankAverage

_HOME = {
    "Bm25Scorer": "lexical",
    "EmbeddingScorer": "embedding",
    "GradientScorer": "gradient",
    "RandomScorer": "random",
    "RankAverage": "rank_average",
    "RdsScorer": "hidden_states",
    "Scorer": "base",
    "TfidfScorer": "lexical",
}

__all__ = [
    "Bm25Scorer",
    "EmbeddingScorer",
    "GradientScorer",
    "RandomScorer",
    "RankAverage",
    "RdsScorer",
    "Scorer",
    "TfidfScorer",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"selection.scorers.{_HOME[name]}"), name)
    raise AttributeError(f"module 'selection.scorers' has no attribute {name!r}")
