"""Two selections of one pool: the rows they share, those of one alone, and whom they serve."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from airrep.console.wording import counted, percent, shortened
from airrep.errors import ArgumentError
from curate.report.kept.insight import Insight
from curate.report.wording import table

_LINES = 10  # of sources, of targets and of rows of one selection alone
_WIDTH, _ID = 60, 16  # characters of a text, and of a name
_FEWEST = 3  # rows whose ranks can agree or disagree


@dataclass(frozen=True)
class SourceCount:
    """How many rows of a source there are.

    Attributes:
        source: Its name; "" for rows that name none.
        pool: Rows of the pool, of whichever selection saw more.
        first: Rows of the first selection.
        second: Rows of the second.
    """

    source: str
    pool: int
    first: int
    second: int


@dataclass(frozen=True)
class TargetShare:
    """What both selections hold for a target.

    Attributes:
        id: Id of the target.
        label: Its text, on one line.
        first: Rows of the first selection that it earned.
        second: Rows of the second.
        means: Its mean scores over both; None where different scorers made them.
    """

    id: str
    label: str
    first: int
    second: int
    means: tuple[float, float] | None


@dataclass(frozen=True)
class AloneRow:
    """A row of one selection alone.

    Attributes:
        id: Id of the row.
        source: Its source.
        label: Its text, on one line.
        rank: From 0, as in `curate_rank`.
    """

    id: str
    source: str
    label: str
    rank: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two selections of one pool; as text, what a person wants to know.

    Attributes:
        names: What they are called.
        first: What is known of the first.
        second: What is known of the second.
    """

    names: tuple[str, str]
    first: Insight = field(repr=False)
    second: Insight = field(repr=False)

    def __post_init__(self) -> None:
        pools = [each.manifest["inputs"]["pool"]["fingerprint"] for each in self._both]
        if pools[0] != pools[1]:
            raise ArgumentError(
                f"{self.names[0]} and {self.names[1]} are selections of different pools "
                f"({self._pool(self.first)}, {self._pool(self.second)}): only selections of the "
                "same rows can be compared."
            )

    @property
    def shared(self) -> npt.NDArray[np.int64]:
        """Positions in the user's rows of the rows in both, in the first selection's order."""
        first, second = map(_rows, self._both)
        return first[np.isin(first, second)]

    @property
    def overlap(self) -> float:
        """Rows in both as a share of the rows in either (Jaccard), 0 to 1."""
        either = len(self.first.selection) + len(self.second.selection) - len(self.shared)
        return len(self.shared) / either

    @property
    def agreement(self) -> float:
        """Spearman's correlation of the shared rows' ranks; NaN for fewer than three."""
        if len(self.shared) < _FEWEST:
            return math.nan
        places = [
            dict(zip(_rows(each).tolist(), range(10**9), strict=False)) for each in self._both
        ]
        ranks = [[place[row] for row in self.shared.tolist()] for place in places]
        return float(spearmanr(*ranks).statistic)

    def alone(self, which: int) -> list[AloneRow]:
        """The rows of one selection that the other has not, best first.

        Args:
            which: 0 for the first selection, 1 for the second.
        """
        insight, other = self._both[which], self._both[1 - which]
        others = set(_rows(other).tolist())
        found = []
        for rank, (place, row) in enumerate(
            zip(insight.selection.indices.tolist(), _rows(insight).tolist(), strict=True)
        ):
            if row not in others:
                text = insight.texts[place]
                label = " ".join(f"{text.prompt} → {text.completion}".removeprefix(" → ").split())
                found.append(AloneRow(insight.ids[place], insight.sources[place], label, rank))
        return found

    @cached_property
    def sources(self) -> list[SourceCount]:
        """Every source that has rows in either selection, those that differ most first."""
        pools = [Counter(each.sources) for each in self._both]
        chosen = [
            Counter(each.sources[i] for i in each.selection.indices.tolist()) for each in self._both
        ]
        found = [
            SourceCount(
                name, max(pool[name] for pool in pools), *(counts[name] for counts in chosen)
            )
            for name in {*chosen[0], *chosen[1]}
        ]
        return sorted(found, key=lambda s: (-abs(s.first - s.second), -s.first, s.source))

    @cached_property
    def targets(self) -> list[TargetShare] | None:
        """Every target, in order; None if the selections are for different ones."""
        marks = [each.manifest["inputs"]["targets"]["fingerprint"] for each in self._both]
        if marks[0] != marks[1]:
            return None
        count = len(self.first.targets)
        earned = [np.bincount(each.selection.targets, minlength=count) for each in self._both]
        means = [each.overview.chosen.mean(axis=0) for each in self._both]
        comparable = _scored_by(self.first) == _scored_by(self.second)
        return [
            TargetShare(
                target.id,
                " ".join((target.prompt or target.completion).split()),
                int(earned[0][i]),
                int(earned[1][i]),
                (float(means[0][i]), float(means[1][i])) if comparable else None,
            )
            for i, target in enumerate(self.first.targets)
        ]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        agreement = self.agreement
        return {
            "names": list(self.names),
            "rows": [len(each.selection) for each in self._both],
            "shared": self.shared.tolist(),
            "overlap": self.overlap,
            "agreement": None if math.isnan(agreement) else agreement,
            "alone": [[row.id for row in self.alone(which)] for which in (0, 1)],
            "sources": [vars(each) for each in self.sources],
            "targets": None if self.targets is None else [vars(each) for each in self.targets],
        }

    def __str__(self) -> str:
        parts = (
            self._heading(),
            self._of_sources(),
            self._of_targets(),
            self._of_rows(0),
            self._of_rows(1),
        )
        return "\n".join(line for part in parts for line in part)

    @property
    def _both(self) -> tuple[Insight, Insight]:
        return self.first, self.second

    @staticmethod
    def _pool(insight: Insight) -> str:
        pool = insight.manifest["inputs"]["pool"]
        return f"{counted(pool['rows'], 'row')} of {pool['name']}"

    def _heading(self) -> Iterator[str]:
        width = max(map(len, self.names))
        for name, each in zip(self.names, self._both, strict=True):
            how = f"{each.selection.method} on {each.manifest['chosen']['scorer']} scores"
            yield f"{name:<{width}}  {counted(len(each.selection), 'row')} by {how}"
        shared = len(self.shared)
        yield (
            f"{counted(shared, 'row')} in both, {percent(self.overlap)} of those in either; "
            f"{len(self.first.selection) - shared:,} in {self.names[0]} alone, "
            f"{len(self.second.selection) - shared:,} in {self.names[1]} alone"
        )
        if not math.isnan(self.agreement):
            yield f"ranks of the rows in both: Spearman's correlation {self.agreement:.2f}"

    def _of_sources(self) -> Iterator[str]:
        if [each.source for each in self.sources] == [""]:
            return
        yield ""
        yield from table(
            ("source", "pool", *self.names),
            [
                (
                    shortened(each.source or "(no source)", _WIDTH),
                    f"{each.pool:,}",
                    f"{each.first:,}",
                    f"{each.second:,}",
                )
                for each in self.sources[:_LINES]
            ],
        )
        yield from _more(len(self.sources), "source", "that differ less")

    def _of_targets(self) -> Iterator[str]:
        yield ""
        if self.targets is None:
            yield "The selections are for different targets."
            return
        ranked = sorted(self.targets, key=lambda each: -abs(each.first - each.second))
        shown = ranked[:_LINES]
        scored = all(each.means is not None for each in shown)
        heads = [f"mean score, {name}" for name in self.names] if scored else []
        lines = table(
            ("rows for target", *self.names, *heads),
            [
                (
                    shortened(each.id, _ID),
                    f"{each.first:,}",
                    f"{each.second:,}",
                    *(f"{mean:.3f}" for mean in (each.means if scored and each.means else ())),
                )
                for each in shown
            ],
        )
        texts = ["", *(shortened(each.label, _WIDTH) for each in shown)]
        yield from (f"{line}  {text}".rstrip() for line, text in zip(lines, texts, strict=True))
        yield from _more(len(ranked), "target", "whose rows differ less")

    def _of_rows(self, which: int) -> Iterator[str]:
        rows = self.alone(which)
        if not rows:
            return
        yield ""
        yield f"in {self.names[which]} alone, best first"
        for row in rows[:_LINES]:
            source = f"{shortened(row.source, _ID)}: " if row.source else ""
            said = f"{shortened(row.id, _ID):<{_ID}}  {source}{shortened(row.label, _WIDTH)}"
            yield f"{row.rank:>7,}  {said}"
        yield from _more(len(rows), "row", "")


def _rows(insight: Insight) -> npt.NDArray[np.int64]:
    """Positions of the chosen rows in the user's rows, in order of rank."""
    return insight.rows[insight.selection.indices]


def _scored_by(insight: Insight) -> Sequence[Any]:
    """What scores were made with."""
    manifest = insight.manifest
    return [manifest["chosen"]["scorer"], [each["fingerprint"] for each in manifest["encoders"]]]


def _more(count: int, noun: str, which: str) -> list[str]:
    rest = count - _LINES
    return [f"… and {counted(rest, f'more {noun}')} {which}".rstrip()] if rest > 0 else []
