"""Rank correlations of many columns at once, and their bootstrap.

Ranks are kept doubled and centered, #smaller + #smaller-or-equal - S: whole numbers, 0 in the
middle, equal for equal values (the doubled average rank, less S + 1). Their sums of products are
whole numbers, too, so that in float64 nothing here rounds before the last division (S < 200,000),
and no result depends on the order of a sum.

Shapes: S subsets (observations), T targets (columns), B draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.errors import ArgumentError

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

# Draws at once: with 100 subsets an array of them is 100 KiB and stays in cache.
_DRAWS = 256


@dataclass(frozen=True)
class Term:
    """One rank correlation between two variables, by position, and its share of a statistic."""

    left: int
    right: int
    coefficient: float = 1.0


@dataclass(frozen=True)
class Interval:
    """An estimate and its bootstrap interval; `low` and `high` are NaN without draws."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.low):
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class _Order:
    """Where the values of one variable stand, each array (T, S)."""

    order: Int64  # observations from the smallest value to the largest
    below: Int64  # per observation, how many values are smaller
    upto: Int64  # per observation, how many are smaller or equal (itself included)


def rank_correlations(
    predictions: npt.NDArray[np.floating], outcomes: npt.NDArray[np.floating]
) -> Float64:
    """Spearman's correlation of column t of one with column t of the other.

    Args:
        predictions: (S, T), finite.
        outcomes: (S, T), finite; larger is what a larger prediction should go with, so give
            `-losses`.

    Returns:
        (T,) from -1 to 1; NaN where either column is constant.

    Raises:
        ArgumentError: Two shapes, or not (S, T).

    Example:
        >>> rank_correlations(np.array([[1.0], [2.0], [3.0]]), np.array([[0.0], [9.0], [5.0]]))
        array([0.5])
    """
    if predictions.ndim != 2 or predictions.shape != outcomes.shape:
        raise ArgumentError(
            "expected predictions and outcomes of one shape (subsets, targets), found "
            f"{predictions.shape} and {outcomes.shape}."
        )
    left, right = (_doubled_ranks(values) for values in (predictions, outcomes))
    return _ratio(
        *(np.einsum("ts,ts->t", a, b) for a, b in ((left, right), (left, left), (right, right)))
    )


def estimate(
    variables: Sequence[Float64], terms: Sequence[Term], draws: int, confidence: float, seed: int
) -> tuple[Float64, Interval]:
    """A sum of terms per target (T,), and its mean over targets with an interval.

    A target with an undefined term is NaN, and left out of the mean and of every resample.

    Args:
        variables: Arrays (S, T).
        terms: Which of them are correlated, and how they add up.
        draws: Resamples; 0 gives no interval.
        confidence: Confidence of the interval.
        seed: Seed of the resampling.

    Raises:
        ArgumentError: No target is defined; draws or a confidence that cannot be.

    Example:
        >>> predictions, outcomes = np.arange(4.0)[:, None], np.array([[1.0], [2.0], [4.0], [3.0]])
        >>> estimate([predictions, outcomes], [Term(0, 1)], 0, 0.95, 0)[1].mean
        0.8
    """
    if draws < 0:
        raise ArgumentError(f"draws should be 0 (no interval) or more, found {draws}.")
    if not 0 < confidence < 1:
        raise ArgumentError(f"confidence should lie between 0 and 1, found {confidence}.")
    per_target = np.sum(
        [
            term.coefficient * rank_correlations(variables[term.left], variables[term.right])
            for term in terms
        ],
        axis=0,
    )
    defined = ~np.isnan(per_target)
    if not defined.any():
        raise ArgumentError(
            f"none of {counted(len(per_target), 'target')} has a rank correlation: for each, the "
            "predictions or the losses of all subsets are one and the same value. Check that "
            "subsets differ and that scores and losses are not constant."
        )
    mean = float(per_target[defined].mean())
    if not draws:
        return per_target, Interval(mean, math.nan, math.nan)
    resampled = bootstrap([v[:, defined] for v in variables], terms, draws=draws, seed=seed)
    resampled = resampled[~np.isnan(resampled)]
    if not resampled.size:
        return per_target, Interval(mean, math.nan, math.nan)
    tail = (1 - confidence) / 2
    bounds = np.quantile(resampled, [tail, 1 - tail]) + (mean - resampled.mean())
    limit = sum(abs(term.coefficient) for term in terms)  # a correlation's 1, a difference's 2
    low, high = np.clip(bounds, -limit, limit).tolist()
    return per_target, Interval(mean, low, high)


def bootstrap(
    variables: Sequence[Float64], terms: Sequence[Term], *, draws: int, seed: int
) -> Float64:
    """The mean over targets of the sum of terms, in resamples of subsets and targets.

    Every draw takes S subsets and, apart from them, T targets, both with replacement, and computes
    the ranks of the resample afresh: a subset drawn twice is two tied observations. Two calls with
    one seed, S and T see the same resamples. Time is proportional to S·T·draws.

    Returns:
        (draws,) means over the targets that are defined in the resample; NaN for a draw that has
        none, such as one subset drawn S times.

    Example:
        >>> values = np.arange(5.0)[:, None]
        >>> bootstrap([values, values], [Term(0, 1)], draws=3, seed=0)
        array([1., 1., 1.])
    """
    subsets, targets = variables[0].shape
    orders = [_order(values) for values in variables]
    # Of a stream each, so that draws do not depend on how many are made at once.
    subset_draws, target_draws = np.random.default_rng(seed).spawn(2)
    # No sum exceeds S³: where float32 holds that, it is as exact, and twice as fast.
    exact = np.float32 if subsets**3 < 2**24 else np.float64
    means = np.empty(draws)
    for start in range(0, draws, _DRAWS):
        count = min(_DRAWS, draws - start)
        times = subset_draws.multinomial(subsets, np.full(subsets, 1 / subsets), size=count)
        weights = target_draws.multinomial(targets, np.full(targets, 1 / targets), size=count)
        means[start : start + count] = _resampled(
            orders, terms, np.ascontiguousarray(times.T, dtype=exact), weights.T
        )
    return means


def _order(values: npt.NDArray[np.floating]) -> _Order:
    from scipy.stats import rankdata  # here, because it takes half a second

    columns = values.T
    below, upto = (rankdata(columns, method, axis=1).astype(np.int64) for method in ("min", "max"))
    return _Order(np.argsort(columns, axis=1, kind="stable"), below - 1, upto)


def _doubled_ranks(values: npt.NDArray[np.floating]) -> Float64:
    """(T, S), see the module."""
    from scipy.stats import rankdata

    return 2 * rankdata(values.T, axis=1) - (len(values) + 1)


def _ratio(product: Float64, left: Float64, right: Float64) -> Float64:
    """Correlation from sums of products; NaN where one side does not vary."""
    squares = left * right
    found = np.full(product.shape, np.nan)
    np.divide(product, np.sqrt(squares), out=found, where=squares > 0)
    return found


def _resampled(
    orders: Sequence[_Order], terms: Sequence[Term], times: npt.NDArray[np.floating], weights: Int64
) -> Float64:
    """Means over targets (B,); draws hold subsets `times` (S, B) and targets `weights` (T, B)."""
    subsets, count = times.shape
    total, counted = np.zeros(count), np.zeros(count)
    running = np.zeros((subsets + 1, count), times.dtype)  # [n]: drawn among the n smallest
    for target, weight in enumerate(weights):
        ranks, weighted, squares = [], [], []
        for found in orders:
            running[1:] = times[found.order[target]]
            _accumulate(running[1:])
            rank = running[found.below[target]]
            rank += running[found.upto[target]]
            rank -= subsets
            ranks.append(rank)
            weighted.append(rank * times)
            squares.append(_sums(weighted[-1], rank))
        value = np.zeros(count)
        for term in terms:
            product = _sums(weighted[term.left], ranks[term.right])
            value += term.coefficient * _ratio(product, squares[term.left], squares[term.right])
        defined = ~np.isnan(value)
        total += np.where(defined, weight * value, 0.0)
        counted += weight * defined
    means = np.full(count, np.nan)
    np.divide(total, counted, out=means, where=counted > 0)
    return means


def _accumulate(values: npt.NDArray[np.floating]) -> None:
    """Running sums of whole numbers down every column, in place; ten times as fast as numpy's."""
    step = 1
    while step < len(values):
        values[step:] += values[:-step]  # numpy copies what overlaps
        step *= 2


def _sums(left: npt.NDArray[np.floating], right: npt.NDArray[np.floating]) -> Float64:
    """Column sums of the product of two (S, B) arrays."""
    return np.einsum("sb,sb->b", left, right).astype(np.float64)
