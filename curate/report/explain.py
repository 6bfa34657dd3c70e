"""Look up why a row is in a selection or not, and which rows help a target."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.errors import ArgumentError
from curate.report.coverage import coverage_of
from curate.report.explanation import (
    Explanation,
    HelpedTarget,
    OtherRow,
    RowExplanation,
    TargetExplanation,
)
from curate.report.kept.insight import Insight, Removed
from selection.top import largest

_SHOWN = 5
_COMPARED = 10_000  # ids at most that a mistyped one is compared with
_ABOUT_IDS = "Ids are positions from 0 unless columns named an id."


def explain(insight: Insight, name: str | int, *, target: bool = False) -> Explanation:
    """Explain a pool row or a target.

    A pool row and a target may have the same id, so it is not the id that says which is meant.

    Args:
        insight: What is known of a selection.
        name: Id of a pool row, or of a target; positions from 0 unless columns named an id.
        target: Whether the id is a target's.

    Raises:
        ArgumentError: No row has this id, or no target.
    """
    name = str(name)
    row = _position(insight.ids, name)
    removed = next((each for each in insight.removed if each.id == name), None)
    x = _position([each.id for each in insight.targets], name)
    is_row = row is not None or removed is not None
    if target:
        if x is None:
            raise ArgumentError(_no_target(insight, name, is_row))
        return _target(insight, x)
    if row is not None:
        return _row(insight, row, removed)
    if removed is not None:
        return _removed(insight, removed)
    raise ArgumentError(_no_row(insight, name, x is not None))


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
    gain = float(chosen.gains[rank]) if rank >= 0 and insight.has_gains else None
    curve = chosen.objective
    helped = [_helped(insight, x, score)]
    if rank >= 0:
        most = largest(sign * seen.chosen[rank], _SHOWN).tolist()
        helped = [_helped(insight, y, float(seen.chosen[rank, y])) for y in most]
    return RowExplanation(
        id=insight.ids[row],
        status="left out" if rank < 0 else "chosen",
        text=insight.texts.get(row),
        source=insight.sources[row],
        selector=chosen.method,
        chosen=len(chosen),
        rank=None if rank < 0 else rank,
        layer=None if rank < 0 else int(chosen.layers[rank]),
        layers=int(chosen.layers.max()) + 1,
        gain=gain,
        gain_place=None if gain is None else int((sign * (chosen.gains - gain) >= 0).sum()),
        objective=None if curve is None else curve.objective.name,
        before=None if curve is None or rank < 0 else float(curve.before(chosen.layers)[rank]),
        after=None if curve is None or rank < 0 else float(curve.values[rank]),
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
        id=removed.id,
        status="removed",
        text=None,
        source=removed.source,
        removed=removed,
        selector=insight.selection.method,
        chosen=len(insight.selection),
    )


def _target(insight: Insight, x: int) -> TargetExplanation:
    covered = coverage_of(insight, x)
    scores, rows = insight.overview.chosen[:, x], insight.selection.indices
    best_first = largest(scores, _SHOWN, rows)
    worst_first = largest(-scores, _SHOWN, rows)
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
    shares = insight.overview.distribution
    beats, beaten = shares.share_below(x, score), shares.share_above(x, score)
    return HelpedTarget(target.id, target.label, score, beats, beaten)


def _others(
    insight: Insight, rows: npt.NDArray[np.int64], scores: npt.NDArray[np.float32]
) -> tuple[OtherRow, ...]:
    ranks = insight.ranks()
    return tuple(
        OtherRow(
            insight.ids[row],
            insight.texts[row].label,
            score,
            int(ranks[row]) if ranks[row] >= 0 else None,
        )
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
    )


def _position(ids: Sequence[str], name: str) -> int | None:
    try:
        return ids.index(name)
    except ValueError:
        return None


def _no_row(insight: Insight, name: str, is_target: bool) -> str:
    if is_target:
        return (
            f"no pool row has the id {name!r}, but a target has; ask for the target: --target on "
            "the command line, target=True in Python."
        )
    proposed = insight.manifest["chosen"].get("proposed")
    if proposed is not None and proposed["rows"] < proposed["of"]:
        return (
            f"no row with the id {name!r} was scored by the second scorer: it looked at the "
            f"{proposed['rows']:,} rows that {proposed['scorer']} proposed of {proposed['of']:,}. "
            f"{_ABOUT_IDS} {_nearest(name, insight.ids)}"
        ).rstrip()
    return (
        f"no pool row has the id {name!r}; the {counted(len(insight.ids), 'pool row')} "
        f"{_range(insight.ids)}. {_ABOUT_IDS} Rows that could not be read have none. "
        f"{_nearest(name, insight.ids)}Ids of targets are looked up with --target (in Python, "
        "target=True)."
    )


def _no_target(insight: Insight, name: str, is_row: bool) -> str:
    if is_row:
        return (
            f"no target has the id {name!r}, but a pool row has; ask for the row: leave out "
            "--target (in Python, target=True)."
        )
    ids = [target.id for target in insight.targets]
    return (
        f"no target has the id {name!r}; the {counted(len(ids), 'target')} {_range(ids)}. "
        f"{_ABOUT_IDS} {_nearest(name, ids)}Ids of pool rows are looked up without --target (in "
        "Python, target=True)."
    )


def _nearest(name: str, ids: Sequence[str]) -> str:
    """Ids that the user may have meant; of positions, and of very many, none is nearer."""
    near = get_close_matches(name, ids, 3) if len(ids) <= _COMPARED and not name.isdigit() else []
    return f"Did you mean {' or '.join(map(repr, near))}? " if near else ""


def _range(ids: Sequence[str]) -> str:
    return f"is {ids[0]!r}" if len(ids) == 1 else f"are {ids[0]!r} to {ids[-1]!r}"
