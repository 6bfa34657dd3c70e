"""Why a row is in a selection or not, and which rows help a target: what there is to say."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from airrep.console.wording import counted, percent, shortened
from curate.report.coverage import Status
from curate.report.kept.insight import Removed, RowText
from curate.report.wording import decimals, fixed, number, ordinal
from selection.selectors.lowest_mean import LOWEST_MEAN

_WIDTH = 96
# What a selector goes by, beside a row's score for the target that it helps most.
_HOW = {
    "herding": "herding takes the row that brings the mean of the chosen rows closest to the "
    "targets' mean, whatever its scores for single targets",
    "layered_greedy": "layered_greedy takes the row that adds most to the influence of its layer, "
    "summed over all targets",
    "plain_greedy": "plain_greedy takes the row that adds most to the influence of the chosen "
    "rows, summed over all targets",
    "coverage": "coverage takes the row that adds most to what the chosen rows cover, summed over "
    "all targets",
    "round_robin": "round_robin gives each target's turns to its best free rows",
    "top_k_max": "top_k_max takes the rows of the largest score, weighted by target",
    "top_k_mean": "top_k_mean takes the rows of the largest mean score over all targets",
    "random": "random draws rows whatever their scores",
}
_TEXT, _LABEL = 280, 64  # characters shown of a row's text, and of a label


@dataclass(frozen=True)
class HelpedTarget:
    """A target, and how much a row helps it.

    Attributes:
        id: Id of the target.
        label: Its text, on one line.
        score: Score of the row.
        beats: Which share of the pool rows scores less for it at least, 0 to 1.
        beaten: Which share of the pool rows scores more for it at least, 0 to 1.
    """

    id: str
    label: str
    score: float
    beats: float
    beaten: float


@dataclass(frozen=True)
class OtherRow:
    """A pool row, and its score for some target.

    Attributes:
        id: Id of the row.
        label: Its text, on one line; "" where it is not kept.
        score: For the target.
        rank: From 0 as in `curate_rank` if it was chosen, else None.
    """

    id: str
    label: str
    score: float
    rank: int | None


@dataclass(frozen=True)
class RowExplanation:
    """Why a pool row was chosen, left out or removed; as text, what a person wants to know.

    Attributes:
        id: Id of the row.
        status: What became of it.
        text: Its text; None where it is not kept.
        source: Where it comes from, or "".
        selector: Name of the selector.
        chosen: How many rows were chosen.
        rank: From 0 as in `curate_rank`, if it was chosen.
        layer: From 0 as in `curate_layer`, if it was chosen.
        layers: How many there are.
        gain: By how much it improved the selector's objective, if it was chosen and there is one.
        gain_place: How many gains are as large or larger, itself included.
        objective: Name of the selector's objective; None if it has none, as for the next two.
        before: The objective before the row was chosen, if it was.
        after: The objective after that.
        earned_by: If chosen, the target that earned it; if left out, the target it helps most;
            None if it was removed.
        helps: The targets that it helps most, best first; of a row that was left out, one.
        rivals: Rows that were not chosen and would help that target most, best first.
        earned: How many rows that target earned.
        weakest: The lowest score among these, or None.
        higher: How many chosen rows score higher for that target.
        removed: Why the guard removed the row, or warned of it.

    Among rows that hurt (`harm`), read: the target that it hurts most, and as small or smaller,
    lowest first, lower.
    """

    id: str
    status: Literal["chosen", "left out", "removed"]
    text: RowText | None
    source: str
    selector: str
    chosen: int
    rank: int | None = None
    layer: int | None = None
    layers: int = 1
    gain: float | None = None
    gain_place: int | None = None
    objective: str | None = None
    before: float | None = None
    after: float | None = None
    earned_by: HelpedTarget | None = None
    helps: tuple[HelpedTarget, ...] = ()
    rivals: tuple[OtherRow, ...] = ()
    earned: int = 0
    weakest: float | None = None
    higher: int = 0
    removed: Removed | None = None

    @property
    def harm(self) -> bool:
        """Whether the chosen rows are those that hurt."""
        return self.selector == LOWEST_MEAN

    def __str__(self) -> str:
        return "\n".join(_of_row(self))


@dataclass(frozen=True)
class TargetExplanation:
    """Which rows help a target most and least; as text, what a person wants to know.

    Attributes:
        id: Id of the target.
        text: Its text.
        status: Whether the selection serves it; see `curate.report.coverage`.
        earned: Rows that it earned.
        chosen: How many rows were chosen for all targets.
        best_in: How many of the `best_of` pool rows that help it most are in.
        best_of: Ten, or all rows of a smaller pool.
        influence: Influence of all chosen rows as one group.
        most: The pool rows that help it most, best first.
        most_chosen: The chosen rows that help it most, best first.
        least_chosen: The chosen rows that help it least, the worst first.
        least: The pool rows that help it least, the worst first.
        harm: Whether the chosen rows are those that hurt; the target earned those that hurt it
            more than any other target.
    """

    id: str
    text: RowText
    status: Status
    earned: int
    chosen: int
    best_in: int
    best_of: int
    influence: float
    most: tuple[OtherRow, ...]
    most_chosen: tuple[OtherRow, ...]
    least_chosen: tuple[OtherRow, ...]
    least: tuple[OtherRow, ...]
    harm: bool = False

    def __str__(self) -> str:
        return "\n".join(_of_target(self))


Explanation: TypeAlias = RowExplanation | TargetExplanation


def _of_row(it: RowExplanation) -> Iterator[str]:
    origin = f" ({it.source})" if it.source else ""
    match it.status:
        case "chosen":
            is_in = "hurts" if it.harm else "is in"
            yield f"row {it.id}{origin} {is_in}: {_place(it)}"
        case "left out":
            which = "rows that hurt most" if it.harm else "chosen rows"
            yield f"row {it.id}{origin} is not among the {it.chosen:,} {which}"
        case "removed":
            yield f"row {it.id}{origin} was removed from the pool before anything was scored"
    yield from _text(it.text)
    if it.removed is not None:
        yield from _guarded(it.removed)
    if it.status == "chosen":
        yield from _why_harmful(it) if it.harm else _why(it)
    elif it.status == "left out":
        yield from _why_not(it)
    if it.helps and it.status == "chosen":
        yield from ("", f"targets that it {'hurts' if it.harm else 'helps'} most")
        for helped in it.helps:
            what = f"target {helped.id}  {shortened(helped.label, _LABEL)}"
            beaten = _beaten(helped) if it.harm else _beats(helped)
            yield f"  {number(helped.score):>8}  {what}  {beaten}"
    if it.earned_by is not None and (not it.harm or it.status == "chosen"):
        would = "rows that score lowest for" if it.harm else "rivals: what would help"
        most = "and are not among these" if it.harm else "most, and is not in"
        yield from _rows(
            f"{would} target {it.earned_by.id}{',' if it.harm else ''} {most}",
            [rival for rival in it.rivals if rival.id != it.id],
        )


def _place(it: RowExplanation) -> str:
    """Ordinals count from 1, as words do; rank and layer from 0, as the columns do."""
    if it.rank is None or it.layer is None:
        return ""
    place = f"{ordinal(it.rank + 1)} of {counted(it.chosen, 'row')} (rank {it.rank:,})"
    if it.layers > 1:
        place += f", in the {ordinal(it.layer + 1)} of {it.layers:,} layers (layer {it.layer:,})"
    return place


def _guarded(removed: Removed) -> Iterator[str]:
    done = "the guard warned of it" if removed.warned else "the guard removed it"
    yield ""
    found = f"{percent(removed.share)} of {removed.of} is found again in it"
    yield f"{done}: {removed.reason}, {found}"
    yield from wrapped(f"“{removed.span}”")


def _why(it: RowExplanation) -> Iterator[str]:
    if it.earned_by is None:
        return
    yield ""
    yield f"earned by  target {it.earned_by.id}  {shortened(it.earned_by.label, _LABEL)}"
    yield (
        f"score      {number(it.earned_by.score)} for that target, {_beats(it.earned_by)}; "
        f"{_higher(it.higher)}"
    )
    if it.gain is None or it.gain_place is None or it.before is None or it.after is None:
        yield f"gain       none: {it.selector} follows no objective, or it was not kept"
        return
    place = f"{ordinal(it.gain_place)} largest" if it.gain_place > 1 else "largest"
    digits = max(3, decimals([it.gain], 2))
    worse = ", for the worse" if it.gain < 0 else ""
    yield from wrapped(
        f"{number(it.gain)}, the {place} of {it.chosen:,}: the {it.objective} went from "
        f"{fixed(it.before, digits)} to {fixed(it.after, digits)}{worse}",
        "gain       ",
    )


def _why_harmful(it: RowExplanation) -> Iterator[str]:
    if it.earned_by is None or it.gain is None or it.gain_place is None:
        return
    lower = _higher(it.higher).replace("higher", "lower")
    place = f"{ordinal(it.gain_place)} lowest" if it.gain_place > 1 else "lowest"
    yield ""
    yield f"hurts most  target {it.earned_by.id}  {shortened(it.earned_by.label, _LABEL)}"
    score = f"{number(it.earned_by.score)} for that target, {_beaten(it.earned_by)}"
    yield f"score       {score}; {lower}"
    yield f"mean        {number(it.gain)} over the targets, the {place} of {it.chosen:,}"


def _why_not(it: RowExplanation) -> Iterator[str]:
    if it.earned_by is None:
        return
    best = it.earned_by
    yield ""
    yield f"helps most  target {best.id}  {shortened(best.label, _LABEL)}"
    yield f"score       {number(best.score)} for it, {_beats(best)}"
    if it.harm:
        reason = "Its mean over the targets is not below 0, or the chosen rows' means are lower."
        yield from wrapped(reason, "why not     ")
        return
    if it.weakest is None:
        reason = f"That target earned no row. {_how(it.selector)}"
    elif best.score < it.weakest:
        reason = (
            f"All {counted(it.earned, 'row')} chosen for that target score higher, "
            f"{number(it.weakest)} or more."
        )
        if it.earned == 1:
            reason = f"The row chosen for that target scores higher, {number(it.weakest)}."
    else:
        reason = (
            f"Of the rows chosen for that target ({it.earned:,}), the lowest scores "
            f"{number(it.weakest)} for it. {_how(it.selector)}"
        )
    higher = _higher(it.higher)
    yield from wrapped(f"{higher[0].upper()}{higher[1:]} for it. {reason}", "why not     ")


def _how(selector: str) -> str:
    """Why a row of a high score may be left out."""
    return f"{_HOW.get(selector, f'{selector} chooses by more than one score')}, within any limits."


def _of_target(it: TargetExplanation) -> Iterator[str]:
    origin = f" ({it.text.source})" if it.text.source else ""
    hurt = f"is hurt most by {it.earned:,} of the {counted(it.chosen, 'row')} that hurt"
    yield f"target {it.id}{origin} {hurt if it.harm else f'is {it.status}'}"
    yield from _text(it.text)
    yield ""
    if not it.harm:
        yield f"earned     {it.earned:,} of {counted(it.chosen, 'chosen row')}"
    best = counted(it.best_of, "pool row")
    yield f"best rows  {it.best_in:,} of the {best} that would help most"
    yield f"influence  {number(it.influence)}, of all chosen rows as one group"
    yield from _rows("pool rows that help it most", it.most)
    if it.most_chosen != it.most:
        yield from _rows("chosen rows that help it most", it.most_chosen)
    yield from _rows("chosen rows that help it least", it.least_chosen)
    if it.least != it.least_chosen:
        yield from _rows("pool rows that help it least", it.least)


def _beats(helped: HelpedTarget) -> str:
    return f"more than {_at_least(helped.beats)}"


def _beaten(hurt: HelpedTarget) -> str:
    return f"less than {_at_least(hurt.beaten)}"


def _at_least(share: float) -> str:
    """A share that is not rounded up, as what is claimed of that many rows has to hold."""
    parts = 1000 if share > 0.99 else 100
    floor = math.floor(share * parts + 1e-9) / parts
    return f"{percent(floor)} of the pool" if floor else "hardly any pool row"


def _higher(count: int) -> str:
    if count <= 1:
        return f"{'one' if count else 'no'} chosen row scores higher"
    return f"{count:,} chosen rows score higher"


def _rows(title: str, rows: Sequence[OtherRow]) -> Iterator[str]:
    yield from ("", title)
    for row in rows:
        place = "not in" if row.rank is None else f"rank {row.rank:,}"
        label = shortened(row.label, _LABEL)
        yield f"  {number(row.score):>8}  row {row.id}  {place}  {label}".rstrip()
    if not rows:
        yield "  none"


def _text(text: RowText | None) -> Iterator[str]:
    if text is None:
        yield "  (its text is not kept: only chosen rows' and each target's best and worst rows')"
        return
    for name in ("prompt", "completion"):
        flat = " ".join(getattr(text, name).split())
        if flat:
            yield from wrapped(shortened(flat, _TEXT), f"  {name:<11}")


def wrapped(text: str, label: str = "  ") -> list[str]:
    """Lines that fit a terminal, the first after a label and the others indented as far."""
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_on_hyphens=False,
    )
