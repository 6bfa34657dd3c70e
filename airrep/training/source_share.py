"""The part of an example's labels and vectors that it shares with others of its source.

A target stands for a task, and the few that a user has are a small sample of it. An encoder that
learns what lowers the loss of each single example chases what is peculiar to it: of a task that is
answered yes or no, rows with the same answer. Mixed with the mean over the examples of its source,
labels and teacher say what helps with the task.

Examples without a source, or alone in theirs, keep what is their own. Shapes: S subsets, E
examples, P teacher's dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from airrep.training.objective import LARGEST_LABEL

_LEAST = 1e-6  # a standard deviation, or a length, below which nothing is left to scale up


def share_labels(
    labels: npt.NDArray[np.float32], sources: Sequence[str], share: float
) -> npt.NDArray[np.float32]:
    """Labels (S, E) mixed with their means over the examples of each source.

    Both have mean 0 and standard deviation 1 over the subsets before they are mixed, and what comes
    out has as well, within the bounds of all labels.

    Args:
        labels: From `airrep.training.objective.influence_labels`.
        sources: Sources of the E examples.
        share: Weight of the mean, 0 to 1; 0 changes nothing.
    """
    if share == 0:
        return labels
    common = _unit_deviation(_source_means(labels.T, sources).T)
    mixed = _unit_deviation((1 - share) * labels + share * common)
    return np.clip(mixed, -LARGEST_LABEL, LARGEST_LABEL).astype(np.float32)


def share_vectors(
    vectors: npt.NDArray[np.float32], sources: Sequence[str], share: float
) -> npt.NDArray[np.float32]:
    """Unit vectors (E, P) moved towards the mean of their source's, and of length 1 again.

    Args:
        vectors: Vectors of length 1.
        sources: Sources of the E examples.
        share: Weight of the mean, 0 to 1; 0 changes nothing.
    """
    if share == 0:
        return vectors
    mixed = (1 - share) * vectors + share * _source_means(vectors, sources)
    lengths = np.linalg.norm(mixed, axis=1, keepdims=True)
    # vectors that cancel out have no common direction
    return np.where(lengths > _LEAST, mixed / np.maximum(lengths, _LEAST), vectors).astype(
        np.float32
    )


def _source_means(
    values: npt.NDArray[np.float32], sources: Sequence[str]
) -> npt.NDArray[np.float64]:
    means = values.astype(np.float64)
    names = np.array(sources)
    for source in sorted(set(sources) - {""}):
        means[names == source] = values[names == source].mean(axis=0, dtype=np.float64)
    return means


def _unit_deviation(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    centered = values - values.mean(axis=0)
    deviation = centered.std(axis=0)
    return np.divide(centered, deviation, out=np.zeros_like(centered), where=deviation > _LEAST)
