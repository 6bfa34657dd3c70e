"""Embeddings to scores to a chosen set."""

from typing import TYPE_CHECKING

from airrep.machine.lazy import lazily

if TYPE_CHECKING:
    from selection.group import GroupInfluence as GroupInfluence
    from selection.result import Selection as Selection
    from selection.scores import ScoreMatrix as ScoreMatrix
    from selection.selectors import SELECTORS as SELECTORS
    from selection.selectors import make_selector as make_selector

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "selection.group": ["GroupInfluence"],
        "selection.result": ["Selection"],
        "selection.scores": ["ScoreMatrix"],
        "selection.selectors": ["SELECTORS", "make_selector"],
    },
)
