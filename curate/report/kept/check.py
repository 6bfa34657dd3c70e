"""Validation of a saved selection's data, before anything is shown of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from airrep.schema import Finite, check_fields, converted
from curate.report.kept.insight import Insight
from selection.result import Selection


def check_insight(insight: Insight) -> None:
    """Refuse positions of rows and targets that are not there, and numbers that are none.

    Raises:
        ValueError: With what does not fit.
    """
    chosen, seen = insight.selection, insight.overview
    pool, targets, k = len(insight.ids), len(insight.targets), len(chosen)
    if not (pool and targets and k):
        raise ValueError(f"{pool} rows, {targets} targets and {k} chosen rows")
    _check_texts(insight)
    _whole("row", insight.rows, (pool,), 1 << 62)
    _whole("top_target", seen.top_targets, (pool,), targets)
    _finite("top_score", seen.top_scores, (pool,))
    _whole("rank", insight.ranks()[chosen.indices], (k,), k)
    _whole("target", chosen.targets, (k,), targets)
    _whole("layer", chosen.layers, (k,), k)
    _check_objective(chosen)
    _finite("score", chosen.scores, (k,))
    _finite("scores", seen.chosen, (k, targets))
    for name, left in (("best_left", seen.best_left), ("worst_left", seen.worst_left)):
        _whole(name, left.rows, (targets, left.rows.shape[-1]), pool)
        _finite(name, left.scores, left.rows.shape)
        if not set(left.rows.ravel().tolist()) <= set(insight.texts):
            raise ValueError(f"{name} holds rows without a text")
    counts, edges = seen.distribution.counts, seen.distribution.edges
    _whole("counts", counts, (targets, len(edges) - 1), 1 << 53)
    _finite("edges", edges, edges.shape)
    if not counts.any(axis=1).all() or not edges[0] < edges[1]:
        raise ValueError("counts or edges of no histogram")
    insight.weights  # noqa: B018 (it raises where the manifest's weights are of other targets)


def check_ranks(ranks: npt.NDArray[Any]) -> None:
    """Refuse ranks that are not 0, 1, 2 and so on, each once.

    Raises:
        ValueError: They are not.
    """
    if ranks.dtype.kind != "i" or not np.array_equal(np.sort(ranks), np.arange(len(ranks))):
        raise ValueError("the ranks are not 0, 1, 2 and so on")


def _check_objective(chosen: Selection) -> None:
    curve = chosen.objective
    if curve is None:
        if chosen.gains.dtype.kind != "f":
            raise ValueError(f"gain is {chosen.gains.dtype}")
        return
    _finite("gain", chosen.gains, (len(chosen),))
    _finite("objective", curve.values, (len(chosen),))
    check_fields(curve.objective, "objective")
    _finite("start", np.asarray(curve.start, dtype=np.float64), ())


def _check_texts(insight: Insight) -> None:
    converted(insight.ids, list[str], "id")
    converted(insight.sources, list[str], "source")
    if len(insight.sources) != len(insight.ids):
        raise ValueError("ids and sources differ in number")
    for each in (*insight.texts.values(), *insight.targets, *insight.removed):
        check_fields(each, type(each).__name__)
    converted([each.share for each in insight.removed], list[Finite], "share")
    if not isinstance(insight.selection.method, str):
        raise ValueError("the selector has no name")
    if not isinstance(insight.selection.shortlist, int | None):
        raise ValueError("shortlist is no number")


def _whole(name: str, values: npt.NDArray[Any], shape: tuple[int, ...], below: int) -> None:
    if values.dtype.kind not in "iu" or values.shape != shape:
        raise ValueError(f"{name} is {values.dtype} {values.shape}, expected integers {shape}")
    if values.size and not 0 <= int(values.min()) <= int(values.max()) < below:
        raise ValueError(f"{name} goes from {values.min()} to {values.max()}, not below {below}")


def _finite(name: str, values: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    if values.dtype.kind != "f" or values.shape != shape or not np.isfinite(values).all():
        raise ValueError(
            f"{name} is {values.dtype} {values.shape}, or not finite; expected {shape}"
        )
