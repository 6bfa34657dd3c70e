"""What every selector does, and what all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from airrep.errors import ArgumentError
from selection.result import Selection
from selection.scores import ScoreMatrix

Weights = Sequence[float] | npt.NDArray[np.floating]


class Selector(Protocol):
    """Scores to a chosen set."""

    @property
    def name(self) -> str:
        """What reports and manifests call it."""
        ...

    @property
    def needs_matrix(self) -> bool:
        """Whether `select` holds the whole score matrix in memory."""
        ...

    def select(self, scores: ScoreMatrix, k: int, *, weights: Weights | None = None) -> Selection:
        """Choose k pool rows, best first.

        Args:
            scores: (targets, pool); larger means that the row helps the target more.
            k: How many rows; 1 <= k <= pool. Of rows that are exactly alike the first wins.
            weights: How much each target counts, (targets,); default all the same.

        Raises:
            ArgumentError: `k` or `weights` cannot be right.
            EmbeddingError: The scores hold NaN or infinity.
        """
        ...


def check_k(k: int, pool: int) -> None:
    """Refuse a k that no selection can have.

    Raises:
        ArgumentError: k is not an integer between 1 and the size of the pool.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise ArgumentError(f"k should be an integer, found {k!r}.")
    if k < 1:
        raise ArgumentError(f"k should be at least 1, found {k}.")
    if k > pool:
        raise ArgumentError(
            f"k = {k} is larger than the pool of {pool} rows; choose k <= {pool}, or add rows."
        )


def scores_of(
    scores: ScoreMatrix, indices: npt.NDArray[np.int64], targets: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """The score of each chosen row for the target that earned it, (k,)."""
    unique, place = np.unique(indices, return_inverse=True)
    chosen = scores.columns(unique).values()
    return chosen[targets, place]


def build(
    name: str,
    scores: ScoreMatrix,
    indices: npt.NDArray[np.int64],
    gains: npt.NDArray[np.floating],
    targets: npt.NDArray[np.int64],
    layers: npt.NDArray[np.int64] | None = None,
) -> Selection:
    """Assemble a `Selection` from picks in order."""
    indices = np.asarray(indices, dtype=np.int64)
    return Selection(
        indices=indices,
        gains=np.asarray(gains, dtype=np.float64),
        scores=scores_of(scores, indices, targets),
        targets=np.asarray(targets, dtype=np.int64),
        layers=np.zeros(len(indices), dtype=np.int64) if layers is None else layers,
        ids=[scores.pool_ids[i] for i in indices],
        target_ids=scores.target_ids,
        method=name,
    )
