"""The rows, targets and removals that a report lists, cut so that it stays below 5 MB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curate.report.composition import NO_SOURCE
from curate.report.coverage import TargetCoverage, coverage
from curate.report.kept.insight import REMOVED_TEXTS, Insight, Removed, RowText, passage_in
from curate.report.wording import cut, escaped_size, on_a_line

# Listed at most; the report says how many there are, and where the others can be found.
ROWS, TARGETS, REMOVED, CONSTRAINTS = 1500, 150, REMOVED_TEXTS, 150
_ALL_TEXTS = 1_800_000  # bytes of escaped text that all rows together may take
_NAME, _LABEL, _AMONG_OTHERS = 60, 120, 80  # bytes of a name, of a label, of one among several
_TWO_LINES = 70  # bytes of a label that a column has two lines for
_NEIGHBOURS = 3
_HELPED = 3


@dataclass(frozen=True)
class Helped:
    """A target, and a row's score for it."""

    target: int
    id: str
    label: str
    score: float


@dataclass(frozen=True)
class ListedRow:
    """A chosen row. Rank and layer count from 0, as its columns in the training set do."""

    rank: int
    id: str
    source: str
    prompt: str
    completion: str
    target: int
    target_id: str
    target_label: str
    score: float
    gain: float
    layer: int
    helps: Sequence[Helped]


@dataclass(frozen=True)
class Neighbour:
    """A pool row as seen from a target; its rank counts from 0, None if it was not chosen."""

    id: str
    label: str
    score: float
    rank: int | None


@dataclass(frozen=True)
class ListedTarget:
    """A target, how it is served, and the rows that help it most and least."""

    id: str
    label: str
    text: str
    coverage: TargetCoverage
    most: Sequence[Neighbour]
    left: Sequence[Neighbour]
    least: Sequence[Neighbour]


@dataclass(frozen=True)
class ListedRemoval:
    """A row that was taken out or warned of, with the passage that it shares."""

    id: str
    source: str
    reason: str
    warned: bool
    of: str
    share: float
    before: str
    span: str
    after: str


def listed_rows(insight: Insight) -> list[ListedRow]:
    """The chosen rows in the order of choice, at most `ROWS`."""
    chosen = insight.selection
    shown = min(len(chosen), ROWS)
    size = min(2400, _ALL_TEXTS // shown)
    rows = []
    for rank, position in enumerate(chosen.indices[:shown].tolist()):
        text = insight.texts[position]
        prompt, completion = _texts(text, size)
        earner = int(chosen.targets[rank])
        scores = insight.overview.chosen[rank]
        order = scores if insight.of_harm else -scores  # those that it hurts most, or helps
        helped = np.argsort(order, kind="stable")[:_HELPED].tolist()
        rows.append(
            ListedRow(
                rank,
                cut(text.id, _NAME),
                cut(text.source, _NAME) or NO_SOURCE,
                prompt,
                completion,
                earner,
                cut(insight.targets[earner].id, _NAME),
                on_a_line(insight.targets[earner].label, _LABEL),
                float(chosen.scores[rank]),
                float(chosen.gains[rank]),
                int(chosen.layers[rank]),
                [
                    Helped(
                        x,
                        cut(insight.targets[x].id, _NAME),
                        on_a_line(insight.targets[x].label, _AMONG_OTHERS),
                        float(scores[x]),
                    )
                    for x in helped
                ],
            )
        )
    return rows


def listed_targets(insight: Insight) -> list[ListedTarget]:
    """The targets in the order of `coverage`, at most `TARGETS`."""
    ranks = insight.ranks()

    def neighbours(rows: Sequence[int], scores: Sequence[float]) -> list[Neighbour]:
        texts = [insight.texts[row] for row in rows]
        return [
            Neighbour(
                cut(t.id, _NAME),
                on_a_line(t.label, _AMONG_OTHERS),
                score,
                int(ranks[row]) if ranks[row] >= 0 else None,
            )
            for t, row, score in zip(texts, rows, scores, strict=True)
        ]

    listed = []
    for each in coverage(insight)[:TARGETS]:
        x, left = each.target, insight.overview.best_left
        best, worst = insight.best(x, _NEIGHBOURS), insight.worst(x, _NEIGHBOURS)
        target = insight.targets[x]
        listed.append(
            ListedTarget(
                cut(target.id, _NAME),
                on_a_line(target.label, _TWO_LINES),
                "\n→ ".join(part for part in _texts(target, 1200) if part),
                each,
                neighbours(best[0].tolist(), best[1].tolist()),
                neighbours(
                    left.rows[x, :_NEIGHBOURS].tolist(), left.scores[x, :_NEIGHBOURS].tolist()
                ),
                neighbours(worst[0].tolist(), worst[1].tolist()),
            )
        )
    return listed


def listed_removals(removed: Sequence[Removed]) -> list[ListedRemoval]:
    """The removals and warnings, at most `REMOVED`."""
    return [_removal(each) for each in removed[:REMOVED]]


def _removal(each: Removed) -> ListedRemoval:
    place = passage_in(each.text, each.span)
    before, span, after = "", each.span, ""
    if place is not None:
        before, after = each.text[: place.start], each.text[place.stop :]
        span = each.text[place]
    return ListedRemoval(
        cut(each.id, _NAME),
        cut(each.source, _NAME),
        each.reason,
        each.warned,
        cut(each.of, 2 * _LABEL),
        each.share,
        before,
        span,
        after,
    )


def _texts(text: RowText, size: int) -> tuple[str, str]:
    """Prompt and completion in so many bytes; what one does not need, the other may take."""
    prompt = max(2 * size // 3, size - escaped_size(text.completion))
    completion = max(size // 3, size - escaped_size(text.prompt))
    return (
        cut(text.prompt, prompt, text.prompt_characters),
        cut(text.completion, completion, text.completion_characters),
    )
