"""The mean difference of two arms on the same examples, with an interval."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from airrep.errors import ArgumentError
from eval_harness.measures.rank_statistics import Interval

_DRAWS = 10_000


def paired_difference(
    values: npt.NDArray[np.floating],
    others: npt.NDArray[np.floating],
    *,
    draws: int = _DRAWS,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Mean of `values` minus mean of `others`, with a percentile bootstrap interval.

    Each resample draws examples, the same ones for both, and runs of each arm: the interval holds
    for other examples and, where there are several runs, for other seeds.

    Args:
        values: (runs, examples) of one arm.
        others: (runs, examples) of the other, of the same examples.
        draws: Resamples.
        confidence: Confidence of the interval.
        seed: Seed of the resampling.

    Raises:
        ArgumentError: The arms do not have the same examples, or there are none.

    Example:
        >>> found = paired_difference(np.array([[1.0, 2.0]]), np.array([[0.5, 1.5]]))
        >>> found.mean, found.low, found.high
        (0.5, 0.5, 0.5)
    """
    if values.ndim != 2 or others.ndim != 2 or values.shape[1] != others.shape[1]:
        raise ArgumentError(
            "expected (runs, examples) of the same examples, found "
            f"{values.shape} and {others.shape}."
        )
    if not values.size or not others.size:
        raise ArgumentError("expected at least one run of each arm, and one example.")
    rng = np.random.default_rng(seed)
    count = values.shape[1]
    drawn = np.zeros((draws, count))
    for arm, sign in ((values, 1.0), (others, -1.0)):
        runs = rng.integers(len(arm), size=(draws, len(arm)))
        times = np.apply_along_axis(np.bincount, 1, runs, minlength=len(arm))
        drawn += sign * times @ arm / len(arm)
    examples = rng.integers(count, size=(draws, count))
    means = np.take_along_axis(drawn, examples, axis=1).mean(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(values.mean() - others.mean()), float(low), float(high))
