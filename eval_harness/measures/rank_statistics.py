"""Rank correlations of many columns at once, and their bootstrap.

Ranks are kept doubled and centred, #smaller + #smaller-or-equal - S: whole numbers, 0 in the
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
    """Where the values of one variable stand, each array (T, S).

    Attributes:
        order: Observations from the smallest value to the largest.
        below: Per observation, how many values are smaller.
        upto: Per observation, how many are smaller or equal (itself included).
    """

    order: Int64
    below: Int64
    upto: Int64


def average_ranks(values: npt.NDArray[np.floating]) -> Float64:
    """Ranks 1…S down every column of (S, T); equal values share the mean of their ranks."""
    found = _order(values)
    return ((found.below + found.upto + 1) / 2).T


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


def statistic(variables: Sequence[Float64], terms: Sequence[Term]) -> Float64:
    """Per target the sum of the terms, (T,); NaN where any of them is undefined.

    Args:
        variables: Arrays (S, T).
        terms: Which of them are correlated, and how they add up.
    """
    correlations = [
        term.coefficient * rank_correlations(variables[term.left], variables[term.right])
        for term in terms
    ]
    return np.sum(correlations, axis=0)


def estimate(
    variables: Sequence[Float64], terms: Sequence[Term], draws: int, confidence: float, seed: int
) -> tuple[Float64, Interval]:
    """A statistic per target (T,), and its mean over targets with an interval.

    Targets whose statistic is undefined are left out of the mean, and of every resample.

    Raises:
        ArgumentError: No target is defined; draws or a confidence that cannot be.
    """
    if draws < 0:
        raise ArgumentError(f"draws should be 0 (no interval) or more, found {draws}.")
    if not 0 < confidence < 1:
        raise ArgumentError(f"confidence should lie between 0 and 1, found {confidence}.")
    per_target = statistic(variables, terms)
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
    limit = sum(abs(term.coefficient) for term in terms)  # a correlation's 1, a difference's 2
    low, high = np.clip(centred_interval(resampled, mean, confidence), -limit, limit)
    return per_target, Interval(mean, float(low), float(high))


def bootstrap(
    variables: Sequence[Float64], terms: Sequence[Term], *, draws: int, seed: int
) -> Float64:
    """The mean of `statistic` over targets, in resamples of subsets and targets.

    Every draw takes S subsets and, apart from them, T targets, both with replacement, and computes
    the ranks of the resample afresh: a subset drawn twice is two tied observations. Two calls with
    one seed, S and T see the same resamples. Time is proportional to S·T·draws.

    Args:
        variables: Arrays (S, T).
        terms: As in `statistic`.
        draws: Resamples.
        seed: Seed of the resampling.

    Returns:
        (draws,) means over the targets whose statistic is defined in the resample; NaN for a draw
        that has none, such as one subset drawn S times.
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


def centred_interval(draws: Float64, estimate: float, confidence: float) -> tuple[float, float]:
    """The central `confidence` of the draws that are defined, moved by estimate - their mean.

    NaN if no draw is defined.
    """
    defined = draws[~np.isnan(draws)]
    if not defined.size:
        return math.nan, math.nan
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail]) + (estimate - defined.mean())
    return float(low), float(high)


def _order(values: npt.NDArray[np.floating]) -> _Order:
    columns = np.ascontiguousarray(values.T)
    count = columns.shape[1]
    order = np.argsort(columns, axis=1, kind="stable")
    ordered = np.take_along_axis(columns, order, axis=1)
    changes = ordered[:, 1:] != ordered[:, :-1]
    edge = np.ones((len(columns), 1), dtype=bool)
    place = np.arange(count)
    first = np.where(np.hstack([edge, changes]), place, 0)
    last = np.where(np.hstack([changes, edge]), place + 1, count)
    first = np.maximum.accumulate(first, axis=1)
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    below, upto = np.empty_like(order), np.empty_like(order)
    np.put_along_axis(below, order, first, axis=1)
    np.put_along_axis(upto, order, last, axis=1)
    return _Order(order, below, upto)


def _doubled_ranks(values: npt.NDArray[np.floating]) -> Float64:
    """(T, S), see the module."""
    found = _order(values)
    return (found.below + found.upto - len(values)).astype(np.float64)


def _ratio(product: Float64, left: Float64, right: Float64) -> Float64:
    """Correlation from sums of products; NaN where one side does not vary."""
    squares = left * right
    found = np.full(product.shape, np.nan)
    np.divide(product, np.sqrt(squares), out=found, where=squares > 0)
    return found


def _resampled(
    orders: Sequence[_Order], terms: Sequence[Term], times: npt.NDArray[np.floating], weights: Int64
) -> Float64:
    """Means of the statistic over targets, (B,).

    Args:
        orders: Sorted order of every variable.
        terms: As in `statistic`.
        times: (S, B) how often each draw holds each subset.
        weights: (T, B) how often it holds each target.
    """
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
    """Running sums down every column, in place.

    A few whole-array additions, by doubled steps: ten times as fast as numpy's, which goes down
    one column at a time. The order of the additions does not matter to whole numbers.
    """
    step = 1
    while step < len(values):
        values[step:] += values[:-step]  # numpy copies what overlaps
        step *= 2


def _sums(left: npt.NDArray[np.floating], right: npt.NDArray[np.floating]) -> Float64:
    """Column sums of the product of two (S, B) arrays."""
    return np.einsum("sb,sb->b", left, right).astype(np.float64)
