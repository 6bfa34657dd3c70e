"""Results to tables: means with intervals, and differences on the same problems."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import sem
from scipy.stats import t as student

from airrep.console.wording import counted
from eval_harness.files.markdown import escaped, table
from selection.selectors.base import AUTO

_METRICS = ("loss", "exact", "f1", "own_source", "wrong")
_PAIRED = {"loss": "vs", "f1": "f1_vs"}  # metrics whose differences to a baseline are shown


def interval(
    values: pd.DataFrame, column: str, *, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Mean over sources of the mean over seeds, with Student's interval over sources.

    Sources are the sample: the interval says what other sources of this kind would change, seeds
    included, and it is wide if there are few (6 sources: 2.57 standard errors). A single source
    has an interval over its seeds.

    Args:
        values: Rows with `source` and `seed`, and one value for every pair of them.
        column: The value.
        confidence: Confidence of the interval.

    Returns:
        (mean, low, high); no interval (NaN) from a single value.
    """
    table = values.pivot(index="source", columns="seed", values=column).to_numpy()
    sample = table.mean(axis=1) if len(table) > 1 else table[0]
    mean = float(table.mean())
    if len(sample) == 1:
        return mean, math.nan, math.nan
    half = float(student.ppf((1 + confidence) / 2, len(sample) - 1) * sem(sample))
    return mean, mean - half, mean + half


def summarize_trials(trials: Sequence[dict[str, Any]], against: str = "random") -> pd.DataFrame:
    """One row per setting, budget and arm: means, and the paired differences in loss and F1.

    Args:
        trials: Rows of `Trials.run`.
        against: The arm that losses are compared with, problem by problem.
    """
    frame = _frame(trials)
    rows = []
    for (setting, budget), part in frame.groupby(["setting", "budget"], sort=False):
        base = part[part["arm"] == against].set_index(["source", "seed"])
        for arm, own in part.groupby("arm", sort=False):
            mine = own.set_index(["source", "seed"])
            row: dict[str, Any] = {"setting": setting, "budget": budget, "arm": arm}
            row |= {"scorer": own["scorer"].iloc[0], "selector": own["selector"].iloc[0]}
            intervals = {"loss": interval(own, "loss")}
            known = [m for m in _METRICS if m in own and own[m].notna().all()]
            for metric, name in _PAIRED.items():
                if metric in known:
                    paired = (mine[metric] - base[metric]).rename("difference").reset_index()
                    intervals[name] = interval(paired, "difference")
            for name, found in intervals.items():
                row |= zip((name, f"{name}_low", f"{name}_high"), found, strict=True)
            row |= {metric: float(own[metric].mean()) for metric in known[1:]}
            rows.append(row)
    return pd.DataFrame(rows)


def _frame(trials: Sequence[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(trials).drop(columns="losses", errors="ignore")


def rows_of(budget: Any) -> str:  # noqa: ANN401 (an int, of whatever kind pandas makes it)
    """A budget in words."""
    return "rows by k = auto" if budget == AUTO else counted(budget, "row")


def trials_markdown(summary: pd.DataFrame, against: str = "random") -> str:
    """A Markdown table per setting and budget, best loss first."""
    parts = []
    for (setting, budget), part in summary.groupby(["setting", "budget"], sort=False):
        answered = "f1" in part and part["f1"].notna().any()
        answers = ["exact", "F1", f"F1 − {escaped(against)}"] if answered else []
        extra = ["own source", *(["wrong rows"] if setting == "wrong_labels" else [])]
        head = ["method", "loss", f"loss − {escaped(against)}", *answers, *extra]
        lines = []
        for _, row in part.sort_values("loss").iterrows():
            cells = [escaped(row["arm"]), f"{row['loss']:.3f}", _signed(row, "vs", against)]
            if answered:
                cells += [_share(row["exact"]), _share(row["f1"]), _signed(row, "f1_vs", against)]
            cells += [_share(row.get(name)) for name in ("own_source", "wrong")][: len(extra)]
            lines.append(cells)
        parts.append(f"**{setting}, {rows_of(budget)}**\n\n" + table(head, lines))
    return "\n\n".join(parts)


def selectors_markdown(trials: Sequence[dict[str, Any]], scorer: str, selector: str) -> str:
    """Loss of every selector minus that of one of them, on one scorer's scores.

    A row per setting and budget, and one over all of them, in which every problem of a source
    counts alike.
    """
    frame = _frame(trials)
    frame = frame[frame["scorer"] == scorer]
    keys = ["setting", "budget", "source", "seed"]
    losses = frame.pivot(index=keys, columns="selector", values="loss")
    gaps = losses.drop(columns=selector).sub(losses[selector], axis=0)
    gaps = gaps[gaps.mean().sort_values().index]

    def cells(part: pd.DataFrame) -> list[str]:
        by_problem = part.groupby(["source", "seed"]).mean().reset_index()
        return [_difference(interval(by_problem, name)) for name in gaps]

    lines = [
        [f"{setting}, {rows_of(budget)}", *cells(part)]
        for (setting, budget), part in gaps.groupby(["setting", "budget"], sort=False)
    ]
    lines.append(["all", *cells(gaps)])
    return table([f"loss − {selector}", *gaps.columns], lines)


def attribution_markdown(
    methods: Sequence[dict[str, Any]], ceiling: dict[str, float] | None
) -> str:
    """The LDS of every method, best first; the noise ceiling below.

    The LDS of tasks is of sources' mean losses, where sources have examples enough.
    Milliseconds are of scoring, per pool row and target; bytes of the features that a row's scores
    need, where a method has such.
    """
    tasks = methods[0].get("tasks")
    head = ["method", "LDS, sum", "LDS, attention"]
    head += [f"LDS of {tasks} tasks"] if tasks else []
    head += ["scale", "ms per row", "bytes per row"]
    lines = [
        [
            escaped(row["method"]),
            _with_interval(row, "sum"),
            _with_interval(row, "attention"),
            *([_with_interval(row, "task")] if tasks else []),
            f"{row['scale']:g}",
            f"{1000 * row['seconds_per_row']:.2f}",
            f"{int(row['bytes_per_row']):,}" if row["bytes_per_row"] else "",
        ]
        for row in sorted(methods, key=lambda r: -r["attention"])
    ]
    if not ceiling:
        return table(head, lines)
    return (
        f"{table(head, lines)}\n\n"
        f"Noise: two seeds of the same subsets agree at {_with_interval(ceiling, 'single')}; "
        f"the averaged losses have a reliability of {ceiling['corrected']:.3f} (Spearman-Brown), "
        f"so a perfect predictor would reach {ceiling['attainable']:.3f}."
    )


def differences_markdown(rows: Sequence[dict[str, Any]], against: str) -> str:
    """Paired differences in LDS."""
    ordered = sorted(rows, key=lambda row: -row["difference"])
    lines = [[escaped(row["method"]), _with_interval(row, "difference")] for row in ordered]
    return table(["method", f"LDS − {escaped(against)}"], lines)


def cheap_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Agreement of cheaper training with the recipe's."""
    head = ["trained", "LDS of its losses against full", "s per run", "full, s per run"]
    lines = [
        [
            row["trainable"],
            _with_interval(row, "agreement"),
            f"{row['seconds_per_run']:.2f}",
            f"{row['full_seconds_per_run']:.2f}",
        ]
        for row in rows
    ]
    return table(head, lines)


def _with_interval(row: dict[str, Any], name: str) -> str:
    return f"{row[name]:.3f}{_bounds(row[f'{name}_low'], row[f'{name}_high'], '.3f')}"


def _signed(row: pd.Series, name: str, against: str) -> str:
    if row["arm"] == against:
        return "0"
    return _difference((row[name], row[f"{name}_low"], row[f"{name}_high"]))


def _difference(found: tuple[float, float, float]) -> str:
    return f"{found[0]:+.3f}{_bounds(found[1], found[2], '+.3f')}"


def _bounds(low: float, high: float, form: str) -> str:
    return "" if math.isnan(low) else f" [{low:{form}}, {high:{form}}]"


def _share(value: Any) -> str:  # noqa: ANN401 (a float, NaN or None)
    return "" if value is None or np.isnan(value) else f"{value:.2f}"
