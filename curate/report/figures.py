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

from airrep.wording import counted
from curate.report.insight import Insight
from curate.report.wording import decimals, fixed, number

_BINS = 56
_MOST_DOTS = 1500
_BASELINE = 0.6  # what a logarithmic axis of counts starts at, so that 1 can be seen
_HEADROOM = 1.15


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
class Band:
    """A layer's extent along the ranks."""

    x: float
    width: float
    y: float


@dataclass(frozen=True)
class GainFigure:
    """What each row added when it was chosen, and what each layer reached."""

    dots: Sequence[Dot]
    layers: Sequence[Band]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    sampled: bool
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
        _linear_ticks(low, high),
        [Tick(100 - height(power), f"{power:,}") for power in powers],
        100 * (before_median - low) / (high - low),
        100 * (after_median - low) / (high - low),
        f"Histogram of {counted(len(pool), 'pool row')} and the {len(chosen):,} chosen among them "
        f"by score, from {number(low)} to {number(high)}. The median is {number(before_median)} "
        f"in the pool and {number(after_median)} among the chosen rows.",
    )


def gain_figure(insight: Insight) -> GainFigure:
    """Gains by rank, and what each layer reached: the sum of its rows' gains."""
    gains, layers = insight.selection.gains, insight.selection.layers
    k = len(gains)
    totals = np.bincount(layers, gains)
    bottom = min(0.0, float(gains.min()))
    top = max(0.0, 1.05 * float(max(gains.max(), totals.max())))
    top = top if top > bottom else bottom + 1.0

    def place(value: float) -> float:
        return round(100 - 100 * (value - bottom) / (top - bottom), 2)

    opens = np.diff(layers, prepend=-1) > 0
    shown = _sample(gains, opens)
    several = len(totals) > 1
    dots = [
        Dot(
            round(100 * (rank + 0.5) / k, 3),
            place(float(gains[rank])),
            bool(opens[rank]) and several,
            f"rank {rank:,}: {number(float(gains[rank]))}",
        )
        for rank in shown
    ]
    starts = np.flatnonzero(opens)
    stops = np.append(starts[1:], k)
    bands = [
        Band(round(100 * a / k, 3), round(100 * (b - a) / k, 3), place(float(total)))
        for a, b, total in zip(starts.tolist(), stops.tolist(), totals.tolist(), strict=True)
    ]
    what = f"Gains of {counted(k, 'row')} by rank, from {number(float(gains[0]))} for the first "
    last = f"to {number(float(gains[-1]))} for the last."
    if several:
        last += (
            f" {len(totals):,} layers: the first reaches {number(float(totals[0]))}, the last "
            f"whole one {number(float(totals[-2]))}."
        )
    return GainFigure(
        dots, bands if several else (), _rank_ticks(k), _value_ticks(bottom, top), len(shown) < k,
        what + last,
    )  # fmt: skip


def _sample(gains: npt.NDArray[np.float64], opens: npt.NDArray[np.bool_]) -> list[int]:
    """Ranks to show: all, or of each stretch of ranks the largest gain, the smallest, an opener."""
    if len(gains) <= _MOST_DOTS:
        return list(range(len(gains)))
    kept: set[int] = set()
    for stretch in np.array_split(np.arange(len(gains)), _MOST_DOTS // 3):
        first = int(stretch[0])
        kept |= {first + int(np.argmax(gains[stretch])), first + int(np.argmin(gains[stretch]))}
        kept |= {first + int(i) for i in np.flatnonzero(opens[stretch])[:1]}
    return sorted(kept)


def _linear_ticks(low: float, high: float, wanted: int = 6) -> list[Tick]:
    """Round numbers along a horizontal axis."""
    values, places = _round_numbers(low, high, wanted)
    return [Tick(100 * (v - low) / (high - low), fixed(v, places)) for v in values]


def _value_ticks(bottom: float, top: float, wanted: int = 5) -> list[Tick]:
    """Round numbers along a vertical axis."""
    values, places = _round_numbers(bottom, top, wanted)
    return [Tick(100 - 100 * (v - bottom) / (top - bottom), fixed(v, places)) for v in values]


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
