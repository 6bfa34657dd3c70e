"""Embeddings to scores to a chosen set."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selection.group import GroupInfluence
    from selection.result import Selection
    from selection.scores import ScoreMatrix
    from selection.selectors import SELECTORS, make_selector

_HOME = {
    "SELECTORS": "selectors",
    "GroupInfluence": "group",
    "ScoreMatrix": "scores",
    "Selection": "result",
    "make_selector": "selectors",
}

__all__ = ["SELECTORS", "GroupInfluence", "ScoreMatrix", "Selection", "make_selector"]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"selection.{_HOME[name]}"), name)
    raise AttributeError(f"module 'selection' has no attribute {name!r}")
