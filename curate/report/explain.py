"""Look up why a row is in a selection or not, and which rows help a target."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from airrep.errors import ArgumentError
from curate.report.coverage import coverage_of
from curate.report.explanation import (
    Explanation,
    HelpedTarget,
    OtherRow,
    RowExplanation,
    TargetExplanation,
)
from curate.report.insight import Insight, Removed
from curate.report.wording import counted

Kind = Literal["row", "target"]
_SHOWN = 5


def explain(insight: Insight, name: str | int, kind: Kind | None = None) -> Explanation:
    """Explain a pool row or a target.

    Args:
        insight: Of a selection.
        name: Id of a pool row or of a target; positions from 0 unless columns named an id.
        kind: "row" or "target", where a row and a target have this id.

    Raises:
        ArgumentError: Nothing has this id, or a row and a target have it and `kind` is not given.
    """
    if kind is not None and kind not in get_args(Kind):
        raise ArgumentError(f"kind {kind!r} is unknown; choose row or target.")
    name = str(name)
    row = _position(insight.ids, name)
    removed = next((each for each in insight.removed if each.id == name), None)
    target = _position([each.id for each in insight.targets], name)
    is_row, is_target = row is not None or removed is not None, target is not None
    if is_row and is_target and kind is None:
        raise ArgumentError(
            f"{name!r} is the id of a pool row and of a target; say which: kind='row' or "
            "kind='target' (--kind row, --kind target)."
        )
    if target is not None and kind != "row":
        return _target(insight, target)
    if row is not None and kind != "target":
        return _row(insight, row, removed)
    if removed is not None and kind != "target":
        return _removed(insight, removed)
    raise ArgumentError(_unknown(insight, name, kind, is_row or is_target))


def _row(insight: Insight, row: int, removed: Removed | None) -> RowExplanation:
    rank = int(insight.ranks()[row])
    chosen, seen = insight.selection, insight.overview
    if rank < 0:
        x, score = int(seen.top_targets[row]), float(seen.top_scores[row])
    else:
        x, score = int(chosen.targets[rank]), float(chosen.scores[rank])
    own = seen.chosen[chosen.targets == x, x]  # scores of the rows that this target earned
    extremes = seen.worst_left if insight.of_harm else seen.best_left
    left = (extremes.rows[x, :_SHOWN], extremes.scores[x, :_SHOWN])
    sign = -1 if insight.of_harm else 1  # what comes first: the lowest scores and gains, or largest
    helped = [_helped(insight, x, score)]
    if rank >= 0:
        best = np.argsort(-sign * seen.chosen[rank], kind="stable")[:_SHOWN].tolist()
        helped = [_helped(insight, y, float(seen.chosen[rank, y])) for y in best]
    return RowExplanation(
        id=insight.ids[row],
        status="left out" if rank < 0 else "chosen",
        text=insight.texts.get(row),
        source=insight.sources[row],
        selector=chosen.method,
        chosen=len(chosen),
        rank=None if rank < 0 else rank + 1,
        layer=None if rank < 0 else int(chosen.layers[rank]) + 1,
        layers=int(chosen.layers.max()) + 1,
        gain=None if rank < 0 else float(chosen.gains[rank]),
        gain_place=None
        if rank < 0
        else int((sign * (chosen.gains - chosen.gains[rank]) >= 0).sum()),
        earned_by=_helped(insight, x, score),
        helps=tuple(helped),
        rivals=_others(insight, *left),
        earned=len(own),
        weakest=float(own.min()) if len(own) else None,
        higher=int((sign * (seen.chosen[:, x] - np.float32(score)) > 0).sum()),
        removed=removed,
    )


def _removed(insight: Insight, removed: Removed) -> RowExplanation:
    return RowExplanation(
        id=removed.id, status="removed", text=None, source=removed.source, removed=removed,
        selector=insight.selection.method, chosen=len(insight.selection),
    )  # fmt: skip


def _target(insight: Insight, x: int) -> TargetExplanation:
    covered = coverage_of(insight, x)
    scores, rows = insight.overview.chosen[:, x], insight.selection.indices
    best_first = np.lexsort((rows, -scores))[:_SHOWN]
    worst_first = np.lexsort((rows, scores))[:_SHOWN]
    return TargetExplanation(
        id=insight.targets[x].id,
        text=insight.targets[x],
        status=covered.status,
        earned=covered.earned,
        chosen=len(rows),
        best_in=covered.best_in,
        best_of=covered.best_of,
        influence=covered.influence,
        most=_others(insight, *insight.best(x, _SHOWN)),
        most_chosen=_others(insight, rows[best_first], scores[best_first]),
        least_chosen=_others(insight, rows[worst_first], scores[worst_first]),
        least=_others(insight, *insight.worst(x, _SHOWN)),
        harm=insight.of_harm,
    )


def _helped(insight: Insight, x: int, score: float) -> HelpedTarget:
    target = insight.targets[x]
    beats = insight.overview.distribution.share_below(x, score)
    return HelpedTarget(target.id, target.label, score, beats)


def _others(
    insight: Insight, rows: npt.NDArray[np.int64], scores: npt.NDArray[np.float32]
) -> tuple[OtherRow, ...]:
    ranks = insight.ranks()
    return tuple(
        OtherRow(
            insight.ids[row],
            insight.texts[row].label,
            score,
            int(ranks[row]) + 1 if ranks[row] >= 0 else None,
        )
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
    )


def _position(ids: Sequence[str], name: str) -> int | None:
    try:
        return ids.index(name)
    except ValueError:
        return None


def _unknown(insight: Insight, name: str, kind: Kind | None, elsewhere: bool) -> str:
    rows, targets = list(insight.ids), [target.id for target in insight.targets]
    what = {"row": "pool row", "target": "target", None: "pool row or target"}[kind]
    other = {"row": "target", "target": "row"}
    if elsewhere and kind is not None:
        return f"no {what} has the id {name!r}, but a {other[kind]} has; say kind={other[kind]!r}."
    known = {"row": rows, "target": targets, None: rows + targets}[kind]
    near = get_close_matches(name, known, 3) if len(known) <= 10_000 and not name.isdigit() else []
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return (
        f"no {what} has the id {name!r}; the {counted(len(rows), 'pool row')} "
        f"are {_range(rows)}, the {counted(len(targets), 'target')} {_range(targets)}. Ids are "
        f"positions from 0 unless columns named an id; rows that could not be read have none.{hint}"
    )


def _range(ids: Sequence[str]) -> str:
    return repr(ids[0]) if len(ids) == 1 else f"{ids[0]!r} to {ids[-1]!r}"
