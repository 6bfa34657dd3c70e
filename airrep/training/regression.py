"""A projector that foresees a teacher's vectors: ridge regression, cut to their main directions.

What training on pairs of rows would learn of a teacher slowly, and of some hundred subsets never
whole, is here one system of equations.

Shapes: n rows, F features, P numbers of a teacher's vector, D embedding size.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.errors import ArgumentError
from airrep.training.whitening import main_directions

_CONSTANT = 1e-5  # of a feature's size: a smaller deviation is float32's rounding
Float32 = npt.NDArray[np.float32]


def fit_regression(
    features: Float32, vectors: Float32, dim: int, ridge: float
) -> tuple[Float32, Float32]:
    """Weight and bias with which the projector's output is what features tell of vectors.

    Features are centered and divided by their standard deviations; the regression minimizes
    Σ|v - v̄ - Wx|² + ridge · n · |W|². Its predictions are turned to their main directions, of
    which the first `dim` are kept, and scaled to a mean square length of 1: inner products of
    embeddings are those of the predictions, as nearly as `dim` numbers can have them.

    Args:
        features: (n, F) of the teacher's examples.
        vectors: (n, P) of the same, of length 1.
        dim: D, at most P and F.
        ridge: Larger trusts the features less: a feature of its own, related to no other, counts
            1 / (1 + ridge) of what least squares would give it.

    Returns:
        (D, F) and (D,).

    Raises:
        ArgumentError: Rows that do not match or fewer than two, `ridge` not above 0, or `dim` out
            of range.
    """
    from sklearn.linear_model import ridge_regression  # here, because it takes a second to import

    count, size = features.shape
    most = min(size, vectors.shape[1])
    if count < 2 or len(vectors) != count or not ridge > 0 or not 1 <= dim <= most:
        raise ArgumentError(
            f"a regression to {dim} dimensions with ridge {ridge}: expected 2 rows or more, as "
            f"many vectors, ridge > 0 and 1 to {most} dimensions (the teacher's vectors have "
            f"{counted(vectors.shape[1], 'number')}, the encoder {size} features); found "
            f"{counted(count, 'row')} and {len(vectors)} vectors."
        )
    mean = features.mean(axis=0, dtype=np.float64)
    deviation = features.std(axis=0, dtype=np.float64)
    varies = deviation > _CONSTANT * np.abs(mean).clip(min=np.finfo(np.float32).tiny)
    per_deviation = np.where(varies, 1 / np.where(varies, deviation, 1), 0)
    standard = (features - mean) * per_deviation
    wanted = vectors - vectors.mean(axis=0, dtype=np.float64)
    coefficients = ridge_regression(standard, wanted, ridge * count, solver="cholesky").T  # (F, P)
    foreseen = (standard @ coefficients).astype(np.float32)
    turned = coefficients @ main_directions(foreseen, dim).astype(np.float64)
    length = np.sqrt(np.square(standard @ turned).sum(axis=1).mean())
    weight = (turned * per_deviation[:, None] / max(length, np.finfo(np.float32).tiny)).T
    return weight.astype(np.float32), -(weight @ mean).astype(np.float32)
