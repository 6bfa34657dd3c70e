"""Scores that are the same for every pool row: nothing can be chosen by them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted, shown
from airrep.errors import ArgumentError
from airrep.records import Example
from selection.scores import Scores

_FIRST = 512  # rows that are looked at before all of them: they nearly always differ
_FLAT = 1e-6  # of max |score|: what float32 cannot tell from nothing
_NAMED = 5


def check_flat(
    scores: Scores, pool: Sequence[Example], why: str, remedy: str, *, of_words: bool = False
) -> Scores:
    """The scores, unless no target's tell one row from another though the rows differ.

    Args:
        scores: (T, N), of this pool.
        pool: Its rows.
        why: What such scores mean, after a colon.
        remedy: What to do about them.
        of_words: Whether scores above 0 mean words in common: then all rows have the same ones,
            which is true of them, and a warning is enough.

    Raises:
        ArgumentError: For every target all rows have the same score. If it is so for some targets,
            there is a warning instead.
    """
    flat = _flat(scores)
    if not flat.size or all(_text(row) == _text(pool[0]) for row in pool):
        return scores
    targets = scores.shape[0]
    if len(flat) == targets and not (of_words and _in_common(scores)):
        raise ArgumentError(
            f"{scores.method}: for {'the target' if targets == 1 else f'all {targets:,} targets'}, "
            f"every one of the {len(pool):,} pool rows has the same score: {why}. {remedy}"
        )
    names = ", ".join(shown(scores.target_ids[x]) for x in flat[:_NAMED].tolist())
    more = f" and {len(flat) - _NAMED:,} more" if len(flat) > _NAMED else ""
    warnings.warn(
        f"{scores.method}: for {len(flat):,} of {counted(targets, 'target')} every pool row has "
        f"the same score ({names}{more}): {why}. {remedy}",
        stacklevel=3,
    )
    return scores


def _flat(scores: Scores) -> npt.NDArray[np.int64]:
    """Positions of the targets whose scores are all the same."""
    targets, rows = scores.shape
    flat = np.arange(targets)
    first = scores.block(0, min(rows, _FIRST))
    low, high = first.min(axis=1), first.max(axis=1)
    flat = flat[all_alike(low, high)]
    if rows > _FIRST:
        for _, block in scores.blocks() if flat.size else ():
            low, high = (np.minimum(low, block.min(axis=1)), np.maximum(high, block.max(axis=1)))
            flat = flat[all_alike(low[flat], high[flat])]
            if not flat.size:
                break
    return flat


def _in_common(scores: Scores) -> bool:
    return bool(scores.block(0, 1).max() > 0)  # of scores that are the same for all rows


def all_alike(low: npt.ArrayLike, high: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Where the lowest score is the highest, as far as float32 can tell."""
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    return np.asarray(high - low <= _FLAT * np.maximum(np.abs(low), np.abs(high)))


def _text(row: Example) -> tuple[str, str]:
    return row.prompt, row.completion
