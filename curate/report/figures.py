"""Figures as numbers: where bars, dots and ticks stand, in percent of the plot's width and height.

Percentages let a figure be as wide as the screen while its text keeps its size. Places on the
vertical axis count from the top, as in SVG.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from curate.report.kept.insight import Insight
from curate.report.wording import decimals, fixed, number

_BINS = 56
_MOST_DOTS = 1500
_BASELINE = 0.6  # what a logarithmic axis of counts starts at, so that 1 can be seen
_HEADROOM = 1.15
_APART = 7.0  # percent of a plot's height between two labels


@dataclass(frozen=True)
class Tick:
    """A label on an axis, in percent of its length."""

    place: float
    label: str


@dataclass(frozen=True)
class Bar:
    """A bar of the histogram: the pool's rows, and the chosen ones among them."""

    x: float
    width: float
    pool: float
    chosen: float
    title: str


@dataclass(frozen=True)
class Histogram:
    """Scores of the pool rows and of the chosen ones, counts on a logarithmic axis."""

    bars: Sequence[Bar]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    pool_median: float
    chosen_median: float
    description: str


@dataclass(frozen=True)
class Dot:
    """A chosen row: where it stands, whether it opened a layer, and what to say about it."""

    x: float
    y: float
    opens: bool
    title: str


@dataclass(frozen=True)
class GainFigure:
    """What each row added when it was chosen, on an axis that is logarithmic away from 0."""

    dots: Sequence[Dot]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    sampled: bool
    description: str


@dataclass(frozen=True)
class ObjectiveFigure:
    """The selector's objective after every row.

    Attributes:
        lines: For each layer the places of a line, "x,y x,y" in percent.
        best: The place where it is best, unless there are several layers.
        x_ticks: Ranks that are marked.
        y_ticks: Values that are marked.
        description: The figure in words.
    """

    lines: Sequence[str]
    best: Dot | None
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    description: str


def score_histogram(insight: Insight) -> Histogram:
    """Each row's score for the target that it helps most: pool and chosen."""
    pool = insight.overview.top_scores.astype(np.float64)
    chosen = pool[insight.selection.indices]
    low, high = float(pool.min()), float(pool.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _BINS + 1)
    before, after = np.histogram(pool, edges)[0], np.histogram(chosen, edges)[0]
    most = math.log10(before.max() * _HEADROOM / _BASELINE)

    def height(count: float) -> float:
        return 100 * math.log10(count / _BASELINE) / most if count else 0.0

    places = decimals((low, high))
    bars = [
        Bar(
            100 * b / _BINS,
            100 / _BINS,
            height(int(before[b])),
            height(int(after[b])),
            f"{fixed(edges[b], places)} to {fixed(edges[b + 1], places)}: "
            f"{counted(int(before[b]), 'pool row')}, {int(after[b]):,} chosen",
        )
        for b in np.flatnonzero(before).tolist()
    ]
    powers = [10**p for p in range(int(math.log10(before.max())) + 1)]
    before_median, after_median = float(np.median(pool)), float(np.median(chosen))
    return Histogram(
        bars,
        _ticks(low, high, 6),
        [Tick(100 - height(power), f"{power:,}") for power in powers],
        100 * (before_median - low) / (high - low),
        100 * (after_median - low) / (high - low),
        f"Histogram of {counted(len(pool), 'pool row')} and the {len(chosen):,} chosen among them "
        f"by score, from {number(low)} to {number(high)}. The median is {number(before_median)} "
        f"in the pool and {number(after_median)} among the chosen rows.",
    )


def gain_figure(insight: Insight) -> GainFigure | None:
    """Gains by rank; None of a selector that has none.

    The first gains may be a thousand times the later ones, and later ones below 0: the axis is
    linear up to the median size of a gain, and logarithmic beyond (inverse hyperbolic sine).
    """
    if not insight.has_gains:
        return None
    gains, layers = insight.selection.gains, insight.selection.layers
    k = len(gains)
    sizes = np.abs(gains[gains != 0])
    unit = float(np.median(sizes)) if sizes.size else 1.0
    bottom = float(np.arcsinh(min(0.0, float(gains.min())) / unit))
    top = 1.05 * float(np.arcsinh(max(0.0, float(gains.max())) / unit))
    top = top if top > bottom else bottom + 1.0

    def place(value: float) -> float:
        return round(100 - 100 * (math.asinh(value / unit) - bottom) / (top - bottom), 2)

    opens = np.diff(layers, prepend=-1) > 0
    shown = _sample(gains, opens)
    several = int(layers[-1]) > 0
    dots = [
        Dot(
            round(100 * (rank + 0.5) / k, 3),
            place(float(gains[rank])),
            bool(opens[rank]) and several,
            f"rank {rank:,}: {number(float(gains[rank]))}",
        )
        for rank in shown
    ]
    ticks = [Tick(place(0.0), "0")]
    for value in _powers(gains, unit):
        if min(abs(place(value) - tick.place) for tick in ticks) > _APART:
            ticks.append(Tick(place(value), number(value, 1)))
    what = f"Gains of {counted(k, 'row')} by rank, from {number(float(gains[0]))} for the first "
    last = f"to {number(float(gains[-1]))} for the last; {int((gains < 0).sum()):,} are below 0."
    return GainFigure(dots, _rank_ticks(k), ticks, len(shown) < k, what + last)


def objective_figure(insight: Insight) -> ObjectiveFigure | None:
    """The objective by rank; None of a selector that has none, and of rows that hurt.

    The axis spans the values, not the one of no rows, beside which later changes could not be seen.
    """
    chosen = insight.selection
    curve = chosen.objective
    if curve is None or insight.of_harm:
        return None
    k, values = len(chosen), curve.values
    bottom, top = float(values.min()), float(values.max())
    margin = 0.06 * (top - bottom) or 0.5
    bottom, top = bottom - margin, top + margin

    def x(rank: int) -> float:
        return round(100 * (rank + 0.5) / k, 3)

    def y(value: float) -> float:
        return round(100 - 100 * (value - bottom) / (top - bottom), 2)

    starts = np.diff(chosen.layers, prepend=-1) > 0
    shown, lines = _sample(values, starts), []
    for layer in np.unique(chosen.layers).tolist():
        ranks = [rank for rank in shown if chosen.layers[rank] == layer]
        points = [(x(rank), y(float(values[rank]))) for rank in ranks]
        if len(points) == 1:  # a line, so that it can be seen
            place, height = points[0]
            points = [(place - 20 / k, height), (place + 20 / k, height)]
        lines.append(" ".join(f"{place:.3f},{height}" for place, height in points))
    name, several, n = curve.objective.name, int(chosen.layers[-1]) > 0, chosen.best_size
    what = (
        f"The {name} by rank, from {number(float(values[0]))} with the first row to "
        f"{number(float(values[-1]))} with the last; {curve.objective.better} is better."
    )
    best = None
    if several:
        what += f" It starts anew in each of {int(chosen.layers[-1]) + 1:,} layers."
    elif n is not None:
        value = float(values[n - 1])
        best = Dot(x(n - 1), y(value), True, f"best after {counted(n, 'row')}: {number(value)}")
        what += f" It is best after {counted(n, 'row')}: {number(value)}."
    return ObjectiveFigure(lines, best, _rank_ticks(k), _ticks(bottom, top, 5, falling=True), what)


def _powers(gains: npt.NDArray[np.float64], unit: float) -> list[float]:
    """Powers of ten from the largest gain's to the unit's, and the same below 0."""
    found = []
    for sign, most in ((1, float(gains.max())), (-1, -float(gains.min()))):
        if most <= 0:
            continue
        last = math.floor(math.log10(most))
        first = min(last, math.ceil(math.log10(unit)))
        step = (last - first) // 4 + 1  # no more than four or five of them
        found += [sign * 10.0**power for power in range(last, first - 1, -step)]
    return found


def _sample(values: npt.NDArray[np.float64], opens: npt.NDArray[np.bool_]) -> list[int]:
    """Ranks to show: all, or of each stretch the largest value, the smallest, an opener."""
    if len(values) <= _MOST_DOTS:
        return list(range(len(values)))
    kept: set[int] = set()
    for stretch in np.array_split(np.arange(len(values)), _MOST_DOTS // 3):
        first = int(stretch[0])
        kept |= {first + int(np.argmax(values[stretch])), first + int(np.argmin(values[stretch]))}
        kept |= {first + int(i) for i in np.flatnonzero(opens[stretch])[:1]}
    return sorted(kept)


def _ticks(low: float, high: float, wanted: int, *, falling: bool = False) -> list[Tick]:
    """Round numbers along an axis; a vertical one counts its places from the top, falling."""
    values, places = _round_numbers(low, high, wanted)
    shares = [100 * (v - low) / (high - low) for v in values]
    return [
        Tick(100 - share if falling else share, fixed(v, places))
        for v, share in zip(values, shares, strict=True)
    ]


def _rank_ticks(k: int) -> list[Tick]:
    values, _ = _round_numbers(0, k, 5)
    return [Tick(100 * v / k, f"{int(v):,}") for v in values if v == int(v)]


def _round_numbers(low: float, high: float, wanted: int) -> tuple[list[float], int]:
    """Multiples of 1, 2 or 5 times a power of ten from low to high, and decimals to show them."""
    rough = (high - low) / wanted
    power = math.floor(math.log10(rough))
    step = next(m * 10.0**power for m in (1, 2, 5, 10) if m * 10.0**power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    values = [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]
    return values, max(0, -math.floor(math.log10(step) + 1e-9))
