"""Targets that a selection serves, and targets that it starves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from curate.report.kept.insight import Insight

Status = Literal["starved", "shares", "served", "not counted"]
_BEST = 10  # rows that would help a target most; the overview keeps so many


@dataclass(frozen=True)
class TargetCoverage:
    """One target.

    Attributes:
        target: Its position.
        status: "served" if it earned a row. Else "shares" if one of the `best_of` pool rows that
            help it most is in, earned by another target, and "starved" if none is. "not counted"
            if its weight is 0.
        earned: Rows that it earned.
        best_in: How many of the `best_of` pool rows that help it most are in.
        best_of: Ten, or all rows of a smaller pool.
        best_chosen: The highest score of a chosen row.
        best_pool: The highest score of a pool row.
        influence: Influence of all chosen rows as one group.
        quantiles: Scores of the pool rows, at `QUANTILES`.
    """

    target: int
    status: Status
    earned: int
    best_in: int
    best_of: int
    best_chosen: float
    best_pool: float
    influence: float
    quantiles: tuple[float, ...]


QUANTILES = (0.05, 0.5, 0.95)


def coverage(insight: Insight) -> list[TargetCoverage]:
    """Every target, the least served first; of rows that hurt, the one that most rows hurt first.

    That a target is served less than another means that it earned fewer rows; or as many, and fewer
    of the rows that help it most are in. Targets that do not count come last.
    """
    found = [coverage_of(insight, x) for x in range(len(insight.targets))]
    sign = -1 if insight.of_harm else 1
    return sorted(
        found, key=lambda each: (each.status == "not counted", sign * each.earned, each.best_in)
    )


def coverage_of(insight: Insight, target: int) -> TargetCoverage:
    """One target, by its position."""
    scores = insight.overview.chosen[:, target]
    earned = int((insight.selection.targets == target).sum())
    rows, best = insight.best(target, _BEST)
    best_in = int(np.isin(rows, insight.selection.indices).sum())
    return TargetCoverage(
        target,
        _status(float(insight.weights[target]), earned, best_in),
        earned,
        best_in,
        len(rows),
        float(scores.max()),
        float(best[0]),
        group_influence(scores, insight.manifest["chosen"].get("scale") or 1.0),
        tuple(insight.overview.distribution.quantiles(target, QUANTILES).tolist()),
    )


def group_influence(scores: npt.NDArray[np.floating], scale: float) -> float:
    """f(x, S) of one target for the group of all rows (`selection.group` states the formula).

    Args:
        scores: (k,) of the group's rows for the target.
        scale: Inverse temperature τ.
    """
    values = scores.astype(np.float64)
    logits = scale * np.abs(values)
    weights = np.exp(logits - logits.max())
    return float(weights @ values / weights.sum())


def _status(weight: float, earned: int, best_in: int) -> Status:
    if weight == 0:
        return "not counted"
    if earned:
        return "served"
    return "shares" if best_in else "starved"
