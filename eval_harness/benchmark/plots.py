"""Pictures of a benchmark's tables, drawn where matplotlib is there (extra `plots`)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from airrep.disk.atomic import atomic_file
from eval_harness.benchmark.tables import rows_of
from eval_harness.measures.arms import Arm

Float64 = npt.NDArray[np.float64]
_INK, _ACCENT, _QUIET = "#1f2933", "#2563eb", "#9aa5b1"
_HEIGHT = 0.3  # inches per row


def plot_attribution(
    rows: Sequence[dict[str, Any]], ceiling: dict[str, float] | None, file: Path
) -> None:
    """LDS of every method with its interval, and what a perfect predictor would reach."""
    if find_spec("matplotlib") is None:
        return
    from matplotlib.figure import Figure

    ordered = sorted(rows, key=lambda row: row["attention"])
    figure = Figure(figsize=(7, 1.2 + _HEIGHT * len(ordered)), layout="constrained")
    axes = figure.subplots()
    for name, color, shift in (("sum", _QUIET, -0.15), ("attention", _ACCENT, 0.15)):
        places = [i + shift for i in range(len(ordered))]
        center, low, high = ([row[name + end] for row in ordered] for end in ("", "_low", "_high"))
        axes.errorbar(
            center, places, xerr=_spread(center, low, high), fmt="o", color=color, label=name, ms=4
        )
    axes.set_yticks(range(len(ordered)), [row["method"] for row in ordered])
    if ceiling:
        axes.axvline(ceiling["attainable"], color=_INK, linestyle=":", label="perfect predictor")
    axes.axvline(0, color=_QUIET, linewidth=0.8)
    axes.set_xlabel("LDS (95% interval over subsets and targets)")
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    _finish(figure, [axes], file)


def plot_trials(summary: pd.DataFrame, file: Path, against: str = "random") -> None:
    """Change in held-out loss against a baseline, a panel per setting and budget."""
    if find_spec("matplotlib") is None:
        return
    from matplotlib.figure import Figure

    panels = list(summary.groupby(["setting", "budget"], sort=False))
    columns = min(2, len(panels))
    height = -(-len(panels) // columns)
    inches = 1.0 + _HEIGHT * max(len(part) for _, part in panels)
    figure = Figure(figsize=(6.2 * columns, height * inches), layout="constrained")
    grid = list(figure.subplots(height, columns, squeeze=False).flat)
    for axes, ((setting, budget), part) in zip(grid, panels, strict=False):
        ordered = part.sort_values("vs", ascending=False)
        places = range(len(ordered))
        spread = _spread(ordered["vs"], ordered["vs_low"], ordered["vs_high"])
        axes.errorbar(ordered["vs"], places, xerr=spread, fmt="o", color=_ACCENT, ms=4)
        axes.set_yticks(places, ordered["arm"], fontsize=8)
        axes.axvline(0, color=_QUIET, linewidth=0.8)
        axes.set_title(f"{setting}, {rows_of(budget)}", loc="left", fontsize=10)
        axes.set_xlabel(f"loss − {against} (95% interval; left is better)", fontsize=8)
    for axes in grid[len(panels) :]:
        axes.remove()
    _finish(figure, grid[: len(panels)], file)


def plot_arms(arms: Sequence[Arm], file: Path) -> None:
    """Loss minus that of random rows, of every arm but these, with intervals."""
    if find_spec("matplotlib") is None:
        return
    from matplotlib.figure import Figure

    shown = [(arm.name, arm.vs_random) for arm in arms if arm.vs_random is not None]
    figure = Figure(figsize=(7, 1.2 + _HEIGHT * len(shown)), layout="constrained")
    axes = figure.subplots()
    center, low, high = ([getattr(gap, end) for _, gap in shown] for end in ("mean", "low", "high"))
    places = range(len(shown))
    axes.errorbar(center, places, xerr=_spread(center, low, high), fmt="o", color=_ACCENT, ms=4)
    axes.set_yticks(places, [name for name, _ in shown])
    axes.axvline(0, color=_QUIET, linewidth=0.8)
    axes.set_xlabel("loss minus that of random rows (95% interval; left is better)")
    _finish(figure, [axes], file)


def _spread(center: Sequence[float], low: Sequence[float], high: Sequence[float]) -> Float64:
    """What lies to the left and to the right, (2, n); rounding may not make it negative."""
    middle = np.asarray(center)
    return np.maximum([middle - np.asarray(low), np.asarray(high) - middle], 0.0)


def _finish(figure: Any, drawn: Sequence[Any], file: Path) -> None:  # noqa: ANN401 (matplotlib's)
    for axes in drawn:
        axes.spines[["top", "right"]].set_visible(False)
    with atomic_file(file) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
