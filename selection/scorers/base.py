"""The interface of a scorer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from airrep.records import Example
from selection.scores import Scores


class Scorer(Protocol):
    """Targets and pool to scores."""

    @property
    def name(self) -> str:
        """What reports and manifests call it."""
        ...

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> Scores:
        """Score every pool row for every target.

        Returns:
            (targets, pool); larger means that training on the row lowers the target's loss more.
        """
        ...


def ids(examples: Sequence[Example]) -> list[str]:
    """The ids of examples, in order."""
    return [example.id for example in examples]
