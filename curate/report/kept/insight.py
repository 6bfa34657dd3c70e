"""Facts of a selection that reports need when pool, encoder and scores are gone.

Positions count the usable pool rows, as in `Selection`. Shapes: T targets, N pool rows, k chosen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from airrep.console.wording import whole_words
from airrep.records import Example, ids_of, rows_of, sources_of, taken
from curate.guard import GuardReport, Removal
from selection.overview import ScoreOverview
from selection.result import Selection
from selection.selectors.lowest_mean import LOWEST_MEAN
from selection.top import TargetRows, largest
from selection.weights import target_weights

# Characters kept of a row's texts; what is left out is counted.
PROMPT_CHARACTERS = 2000
COMPLETION_CHARACTERS = 1000
REMOVED_TEXTS = 200  # removed rows whose text is kept, around what they share with another
_BEFORE, _AFTER = 160, 240  # characters of it


@dataclass(frozen=True, slots=True)
class RowText:
    """A pool row or a target, its texts cut where they are long.

    Attributes:
        id: Id of the row or target.
        source: Where it comes from, or "".
        prompt: Its beginning.
        completion: Its beginning.
        prompt_characters: Length of the whole prompt.
        completion_characters: Length of the whole completion.
    """

    id: str
    source: str
    prompt: str
    completion: str
    prompt_characters: int
    completion_characters: int

    @classmethod
    def of(cls, example: Example) -> RowText:
        """The text of an example, as far as it is kept."""
        return cls(
            example.id,
            example.source,
            example.prompt[: whole_words(example.prompt, PROMPT_CHARACTERS)],
            example.completion[: whole_words(example.completion, COMPLETION_CHARACTERS)],
            len(example.prompt),
            len(example.completion),
        )

    @property
    def label(self) -> str:
        """What to call it in one line: the prompt, or the completion of a text without one."""
        return " ".join((self.prompt or self.completion).split())


@dataclass(frozen=True)
class Removed(Removal):
    """A pool row that the guard took out before anything was scored, or warned of.

    Attributes:
        of: As in `Removal`, but "row 7" for a row of the pool.
        warned: Whether the row stayed in the pool, the user only being warned.
        source: Where the row comes from, or "".
        text: Its text around the passage, on one line, where it is kept.
    """

    warned: bool = False
    source: str = ""
    text: str = ""

    @property
    def removal(self) -> Removal:
        """The same as the guard's report has it."""
        duplicate = self.reason == "duplicate"
        of = self.of.removeprefix("row ") if duplicate else self.of
        reason: Literal["duplicate", "leak"] = "duplicate" if duplicate else "leak"
        return Removal(self.row, self.id, reason, of, self.share, self.span)


def guarded(guard: GuardReport, example_at: Callable[[int], Example]) -> tuple[Removed, ...]:
    """The rows that the guard removed and those that it warned of, with the text of the first.

    Args:
        guard: What it did.
        example_at: The example at a position in the user's rows.
    """
    found: list[Removed] = []
    for warned, removals in ((False, guard.removed), (True, guard.warned)):
        for each in removals:
            more = {"of": f"row {each.of}" if each.reason == "duplicate" else each.of}
            if len(found) < REMOVED_TEXTS:
                example = example_at(each.row)
                more |= {"source": example.source, "text": _around(each.span, example)}
            found.append(Removed(**{**asdict(each), **more}, warned=warned))
    return tuple(found)


def _around(span: str, example: Example) -> str:
    """The passage and what stands before and after it; "" if it is not found as it is."""
    text = " ".join(f"{example.prompt} {example.completion}".split())
    place = passage_in(text, span)
    if place is None:
        return ""
    before, after = text[: place.start], text[place.stop :]
    kept = before[place.start - whole_words(before[::-1], _BEFORE) :].lstrip()
    more = after[: whole_words(after, _AFTER)].rstrip()
    return (
        ("…" if len(kept) < len(before) else "")
        + kept
        + text[place.start : place.stop]
        + more
        + ("…" if len(more) < len(after) else "")
    )


def passage_in(text: str, span: str) -> slice | None:
    """Where a passage stands in a text on one line, None if it does not.

    Args:
        text: The row's prompt and completion.
        span: The passage as `Removed.span` has it: of another text perhaps, so that capitals may
            differ, perhaps shortened, and with an arrow where a completion begins.
    """
    words = re.escape(span.removesuffix("…"))
    found = re.search(words.replace(re.escape(" → "), " (?:→ )?"), text, re.IGNORECASE)
    return None if found is None else slice(*found.span())


@dataclass(frozen=True, eq=False)
class Insight:
    """A selection, and what its scores say.

    Attributes:
        manifest: As in manifest.json.
        ids: N pool ids.
        sources: N sources, "" where a row names none.
        rows: (N,) positions in the user's rows, those that could not be read included.
        texts: Texts of the chosen rows and of those in the overview, by position.
        targets: T targets.
        selection: What was chosen.
        overview: What the scores of all pool rows say.
        removed: Rows that were taken out of the pool before it was scored, and those that the user
            was warned of.
    """

    manifest: Mapping[str, Any]
    ids: Sequence[str] = field(repr=False)
    sources: Sequence[str] = field(repr=False)
    rows: npt.NDArray[np.int64] = field(repr=False)
    texts: Mapping[int, RowText] = field(repr=False)
    targets: Sequence[RowText] = field(repr=False)
    selection: Selection
    overview: ScoreOverview = field(repr=False)
    removed: Sequence[Removed] = field(default=(), repr=False)

    @property
    def of_harm(self) -> bool:
        """Whether these are rows that hurt: worst first, each with the target it hurts most."""
        return self.selection.method == LOWEST_MEAN

    @property
    def has_gains(self) -> bool:
        """Whether rows have gains: changes of an objective, or mean scores of rows that hurt."""
        return self.selection.objective is not None or self.of_harm

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """(T,) how much each target counts; they sum to 1."""
        return target_weights(self.manifest["arguments"].get("weights"), len(self.targets))

    def ranks(self) -> npt.NDArray[np.int64]:
        """(N,) the rank of each pool row, -1 where it was not chosen."""
        ranks = np.full(len(self.ids), -1, dtype=np.int64)
        ranks[self.selection.indices] = np.arange(len(self.selection))
        return ranks

    def best(self, target: int, n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The n pool rows that score highest for a target, chosen or not, and their scores.

        Args:
            target: Position of the target.
            n: No more than the overview keeps of the rows that were not chosen.
        """
        return self._first(self.overview.best_left, target, n, sign=1)

    def worst(self, target: int, n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The n pool rows that score lowest for a target, lowest first, and their scores."""
        return self._first(self.overview.worst_left, target, n, sign=-1)

    def _first(
        self, left: TargetRows, target: int, n: int, sign: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        rows = np.concatenate([self.selection.indices, left.rows[target]])
        scores = np.concatenate([self.overview.chosen[:, target], left.scores[target]])
        order = largest(sign * scores, n, rows)
        return rows[order], scores[order]


def gather(
    selection: Selection,
    pool: Sequence[Example],
    targets: Sequence[Example],
    manifest: Mapping[str, Any],
    overview: ScoreOverview,
    removed: Iterable[Removed] = (),
) -> Insight:
    """Keep what reports and explanations need.

    Args:
        selection: What was chosen.
        pool: The usable pool rows, those that the selection's positions count.
        targets: The targets.
        manifest: As plain values.
        overview: Overview of the scores that the selection was made from.
        removed: Rows that the guard took out of the pool or warned of.
    """
    extremes = (overview.best_left.rows, overview.worst_left.rows)
    kept = np.unique(np.concatenate([selection.indices, *(rows.ravel() for rows in extremes)]))
    return Insight(
        manifest,
        ids_of(pool),
        sources_of(pool),
        rows_of(pool),
        dict(zip(kept.tolist(), map(RowText.of, taken(pool, kept)), strict=True)),
        [RowText.of(target) for target in targets],
        selection,
        overview,
        tuple(removed),
    )
