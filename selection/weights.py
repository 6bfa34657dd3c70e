"""Weights of the targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from airrep.errors import ArgumentError


def target_weights(
    weights: Sequence[float] | npt.NDArray[np.floating] | None, targets: int
) -> npt.NDArray[np.float64]:
    """Weights (targets,) scaled to sum to 1; None means that all targets count the same.

    Raises:
        ArgumentError: Wrong number of weights, a negative or non-finite one, or only zeros.
    """
    if weights is None:
        return np.full(targets, 1.0 / targets)
    try:
        values = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ArgumentError(f"weights: expected numbers, one per target ({error}).") from None
    if values.shape != (targets,):
        raise ArgumentError(f"weights: expected one per target ({targets}), got {values.shape}.")
    if not np.isfinite(values).all() or (values < 0).any():
        bad = int(np.flatnonzero(~np.isfinite(values) | (values < 0))[0])
        raise ArgumentError(f"weights: weight {bad} is {values[bad]}; expected finite and >= 0.")
    if not values.any():
        raise ArgumentError("weights: all are zero; at least one target has to count.")
    values = values / values.max()  # so that the sum cannot overflow
    return values / values.sum()
