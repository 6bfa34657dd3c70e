"""The rows, targets and removals that a report lists, cut so that it stays below 5 MB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

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
class ListedScore:
    """A target and a row's score for it; or a row as a target sees it, with the rank if chosen."""

    id: str
    label: str
    score: float
    rank: int | None

    @classmethod
    def of(cls, text: RowText, score: float, rank: int = -1) -> ListedScore:
        """Cut what is long; a rank below 0 is none."""
        label = on_a_line(text.label, _AMONG_OTHERS)
        return cls(cut(text.id, _NAME), label, score, rank if rank >= 0 else None)


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
    helps: Sequence[ListedScore]


@dataclass(frozen=True)
class ListedTarget:
    """A target, how it is served, and the rows that help it most and least."""

    id: str
    label: str
    text: str
    coverage: TargetCoverage
    most: Sequence[ListedScore]
    left: Sequence[ListedScore]
    least: Sequence[ListedScore]


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
                [ListedScore.of(insight.targets[x], float(scores[x])) for x in helped],
            )
        )
    return rows


def listed_targets(insight: Insight) -> list[ListedTarget]:
    """The targets in the order of `coverage`, at most `TARGETS`."""
    ranks = insight.ranks()

    def neighbors(
        rows: npt.NDArray[np.int64], scores: npt.NDArray[np.float32]
    ) -> list[ListedScore]:
        return [
            ListedScore.of(insight.texts[row], score, int(ranks[row]))
            for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
        ]

    listed = []
    for each in coverage(insight)[:TARGETS]:
        x, left = each.target, insight.overview.best_left
        target = insight.targets[x]
        listed.append(
            ListedTarget(
                cut(target.id, _NAME),
                on_a_line(target.label, _TWO_LINES),
                "\n→ ".join(part for part in _texts(target, 1200) if part),
                each,
                neighbors(*insight.best(x, _NEIGHBOURS)),
                neighbors(left.rows[x, :_NEIGHBOURS], left.scores[x, :_NEIGHBOURS]),
                neighbors(*insight.worst(x, _NEIGHBOURS)),
            )
        )
    return listed


def listed_removals(removed: Sequence[Removed]) -> list[tuple[Removed, tuple[str, str, str]]]:
    """The removals and warnings, at most `REMOVED`, each with the passage and what is around it."""
    return [
        (
            replace(
                each,
                id=cut(each.id, _NAME),
                source=cut(each.source, _NAME),
                of=cut(each.of, 2 * _LABEL),
            ),
            _passage(each),
        )
        for each in removed[:REMOVED]
    ]


def _passage(each: Removed) -> tuple[str, str, str]:
    place = passage_in(each.text, each.span)
    if place is None:
        return "", each.span, ""
    return each.text[: place.start], each.text[place], each.text[place.stop :]


def _texts(text: RowText, size: int) -> tuple[str, str]:
    """Prompt and completion in so many bytes; what one does not need, the other may take."""
    prompt = max(2 * size // 3, size - escaped_size(text.completion))
    completion = max(size // 3, size - escaped_size(text.prompt))
    return (
        cut(text.prompt, prompt, text.prompt_characters),
        cut(text.completion, completion, text.completion_characters),
    )
