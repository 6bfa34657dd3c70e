"""The interface of a scorer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from airrep.console.wording import named
from airrep.records import Example
from selection.scores import Scores


class Scorer(Protocol):
    """Targets and pool to scores; it may declare `ScorerCapabilities` by attributes."""

    @property
    def name(self) -> str:
        """What reports and manifests call it."""
        ...

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> Scores:
        """Score every pool row for every target.

        Returns:
            (targets, pool); larger means that training on the row lowers the target's loss more.
            A scorer with an encoder or a model says so in their `provenance`.
        """
        ...


def ids(examples: Sequence[Example]) -> list[str]:
    """The ids of examples, in order."""
    return [example.id for example in examples]


def read_with(
    scorer: str,
    name: str,
    fingerprint: str,
    dtype: str,
    *,
    encoded: int,
    reused: int = 0,
    changed: int = 0,
) -> list[dict[str, Any]]:
    """What a manifest says of the encoder or the language model that a scorer read the rows with.

    Args:
        scorer: Name of the scorer.
        name: Name of the encoder or the model; of an absolute path the last part is kept.
        fingerprint: Its fingerprint: equal for equal scores.
        dtype: What it computes in.
        encoded: How many pool rows it read.
        reused: How many were found in a store.
        changed: How many of those it read were known there with another text.
    """
    return [
        {
            "scorer": scorer,
            "name": named(name),
            "fingerprint": fingerprint,
            "dtype": dtype,
            "encoded": encoded,
            "reused": reused,
            "changed": changed,
        }
    ]
