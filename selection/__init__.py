"""Embeddings to scores to a chosen set."""

from typing import TYPE_CHECKING

from airrep.machine.lazy import lazily

if TYPE_CHECKING:
    from airrep.shards.embedding_file import EmbeddingFile as EmbeddingFile
    from selection.group import GroupInfluence as GroupInfluence
    from selection.result import Selection as Selection
    from selection.scores import DenseScores as DenseScores
    from selection.scores import EmbeddingScores as EmbeddingScores
    from selection.scores import Scores as Scores
    from selection.selectors import SELECTORS as SELECTORS
    from selection.selectors import make_selector as make_selector

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "airrep.shards.embedding_file": ["EmbeddingFile"],
        "selection.group": ["GroupInfluence"],
        "selection.result": ["Selection"],
        "selection.scores": ["DenseScores", "EmbeddingScores", "Scores"],
        "selection.selectors": ["SELECTORS", "make_selector"],
    },
)
