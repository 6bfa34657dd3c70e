"""A projector by whitening: features centered, whitened part by part, along their main directions.

Raw features of any backbone share large common components (the mean state, a few huge dimensions)
that say nothing about a row; without them training starts from a better place.

Shapes: n rows, F features in parts of given widths, D embedding size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.errors import ArgumentError

_ROWS = 4096  # more rows than this do not change a covariance enough to be worth the time
_ROUNDING = 1e-12  # of a part's mean square: a smaller variance is float32's
_USABLE = 1e-3  # of the largest deviation: directions of smaller ones are rounding as well
Float32 = npt.NDArray[np.float32]


def fit_whitening(
    features: Float32, blocks: Sequence[int], dim: int, damping: float
) -> tuple[Float32, Float32]:
    """Weight and bias with which the projector's output is the whitened features.

    Each part: centered, multiplied by (C + λI)^(-1/2) with its covariance C and λ = damping · mean
    of its eigenvalues (of n, where its rows are fewer than its dimensions), and scaled to a total
    variance of 1; then the `dim` main directions of all parts
    together. An embedding's length is about 1.

    Args:
        features: (n, F) of the rows that the encoder will meet, or some like them.
        blocks: Widths of the parts.
        dim: D, at most F.
        damping: Larger keeps more of the parts' own proportions.

    Returns:
        (D, F) and (D,).

    Raises:
        ArgumentError: Fewer than two rows, `damping` not above 0, or `dim` out of range.
    """
    if len(features) < 2 or not damping > 0 or not 1 <= dim <= features.shape[1]:
        raise ArgumentError(
            f"a projector to {dim} dimensions with damping {damping}: expected 2 rows or more, "
            f"damping > 0 and 1 to {features.shape[1]} dimensions; found "
            f"{counted(len(features), 'row')}."
        )
    if len(features) > _ROWS:
        rng = np.random.default_rng(0)
        features = features[np.sort(rng.choice(len(features), _ROWS, replace=False))]
    mean = features.mean(axis=0, dtype=np.float64)
    centered = features - mean.astype(np.float32)
    bounds = list(pairwise(np.cumsum([0, *blocks])))
    parts = []
    for start, stop in bounds:
        least = _ROUNDING * np.square(mean[start:stop]).mean()
        parts.append(_whitening(centered[:, start:stop], damping, len(blocks), least))
    whitened = np.concatenate(
        [centered[:, start:stop] @ part for part, (start, stop) in zip(parts, bounds, strict=True)],
        axis=1,
    )
    directions = main_directions(whitened, min(dim, whitened.shape[1]))
    split = np.split(directions, np.cumsum([part.shape[1] for part in parts])[:-1])
    weight = np.zeros((dim, features.shape[1]), dtype=np.float32)
    weight[: directions.shape[1]] = np.concatenate(
        [part @ own for part, own in zip(parts, split, strict=True)]
    ).T
    return weight, -(weight @ mean).astype(np.float32)


def _whitening(part: Float32, damping: float, parts: int, least: float) -> Float32:
    """(size, rank) to the whitened part of a total variance of 1 / parts, in main directions.

    With fewer rows than dimensions they are found from the rows' inner products.

    Args:
        part: (n, size), centered.
        damping: See `fit_whitening`.
        parts: How many there are.
        least: A smaller mean variance is rounding: the part is constant, and is left out.
    """
    count, size = part.shape
    if count < size:
        values, vectors = np.linalg.eigh((part @ part.T).astype(np.float64))
        values = values.clip(min=0)
        lengths = np.sqrt(values)
        usable = lengths > _USABLE * lengths[-1]
        directions = part.T @ (vectors[:, usable] / lengths[usable]).astype(np.float32)
        values = values[usable] / count
        mean, total = values.sum() / count, values.sum() / size
    else:
        wide = part.astype(np.float64)
        values, directions = np.linalg.eigh(wide.T @ wide / count)
        values = values.clip(min=0)
        mean = total = values.mean()
    if total <= least:
        return np.zeros((size, 1), dtype=np.float32)
    ridge = damping * mean
    kept = (values / (values + ridge)).sum()
    return (directions / np.sqrt((values + ridge) * kept * parts)).astype(np.float32)


def main_directions(rows: Float32, dim: int) -> Float32:
    """The `dim` directions (F, dim) of largest variance; signs fixed, so that runs agree.

    With fewer rows than dimensions they are found from the rows' inner products; directions beyond
    the rows' span are 0.
    """
    from scipy.linalg import eigh  # here, because it takes half a second to import

    count, size = rows.shape
    few = count < size
    gram = rows @ rows.T if few else rows.T @ rows
    found = min(dim, len(gram))
    values, vectors = eigh(gram, subset_by_index=[len(gram) - found, len(gram) - 1])
    directions = np.zeros((size, dim), dtype=np.float32)
    if few:
        lengths = np.sqrt(values.clip(min=0))
        usable = lengths > _USABLE * lengths.max()
        vectors = np.where(usable, rows.T @ vectors / np.where(usable, lengths, 1), 0)
        vectors /= np.where(usable, np.linalg.norm(vectors, axis=0), 1)
    directions[:, :found] = vectors[:, ::-1]
    largest = directions[np.abs(directions).argmax(axis=0), np.arange(dim)]
    return directions * np.where(largest < 0, -1, 1).astype(np.float32)
