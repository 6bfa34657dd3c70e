"""Differences that are no edits: the places of a template that its rows fill in, and signs.

A word between the same two words before and the same two after it as in other texts, where they
have three other words or more, is what a template's rows differ in. A copy that was edited differs
elsewhere too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from curate.guard.answers import other_answers
from curate.guard.corpus import Corpus, Int64, UInt64
from curate.guard.likeness import Text, differences
from curate.guard.overlap import Bools, mixed

_SIDES = (-2, -1, 1, 2)
_FILLINGS = 4  # different words in a place, from which on it is one that rows fill in
_CONTRASTS = 3  # places where two words stand for each other, from which on that is no edit
_MOST = 40  # words that differ; in more there is one that is an edit
_LONGEST = 2  # words that stand for each other
_BLOCK, _REMAINDERS = 1 << 20, np.uint64(1 << 20)


def other_tasks(
    corpus: Corpus, pairs: Iterable[tuple[Text, Text]], *, both: bool = False
) -> list[bool]:
    """For each pair of texts that are alike, whether all they differ in makes another task.

    Args:
        corpus: All texts.
        pairs: Which of them are alike.
        both: Whether that asks for a difference in the first: it does not stand in the second as
            it is, among other words, and not with its sentences in another order.
    """
    answered, differing = [], []
    for pair in pairs:
        answered.append(other_answers(corpus, *pair))
        differing.append(_sides(corpus, *pair, ordered=not both))
    places = np.array(
        [p for sides in differing for runs in sides for run in runs for p in run], dtype=np.int64
    )
    filled = iter((corpus.signs[corpus.numbers[places]] | _are_filled_in(corpus, places)).tolist())
    contrasts = [_contrasts(corpus, *sides) for sides in differing]
    seen = Counter(pair for pair, _ in {c for found in contrasts for run in found for c in run})
    others = []
    for answer, sides, found in zip(answered, differing, contrasts, strict=True):
        slots = [[False not in [next(filled) for _ in run] for run in runs] for runs in sides]
        other = sides[0] != [] or (not both and sides[1] != [])
        if found:
            known = (any(seen[pair] >= _CONTRASTS for pair, _ in run) for run in found)
            every = all(k or (a and b) for k, a, b in zip(known, *slots, strict=True))
        else:
            every = all(all(runs) for runs in slots)
        others.append(answer or (other and every))
    return others


def _sides(
    corpus: Corpus, first: Text, second: Text, *, ordered: bool
) -> tuple[list[range], list[range]]:
    """What either text has that the other lacks; nothing where that is too much to tell."""
    both = (first, second), (second, first)
    if not ordered and not differences(first, second):
        return [], []
    if any(differences(text, other).bit_count() > _MOST for text, other in both):
        return [], []
    if not ordered and len(first) == len(second) and sorted(first.words) == sorted(second.words):
        return [], []
    return _runs(corpus, first, second), _runs(corpus, second, first)


def _runs(corpus: Corpus, text: Text, other: Text) -> list[range]:
    """Places in the corpus of the words that only one of two texts has there, run by run."""
    differing = differences(text, other)
    if not differing:
        return []
    soft = corpus.soft[text.words]
    flags = bytes(np.frombuffer(differing.to_bytes(len(text), "little"), dtype=np.uint8) > soft)
    return [
        range(text.start + found.start(), text.start + found.end())
        for found in re.finditer(b"\1+", flags)
    ]


def _contrasts(
    corpus: Corpus, first: list[range], second: list[range]
) -> list[list[tuple[tuple[bytes, bytes], bytes]]]:
    """The words that stand for each other in two texts, run by run, with the words around them.

    Of runs of two words also each word by itself, as *he* and *they* in *he is* and *they are*.
    """
    if len(first) != len(second) or any(len(run) > _LONGEST for run in first + second):
        return []
    found = []
    for run, other in zip(first, second, strict=True):
        before, after = (
            corpus.numbers[max(run.start - 2, 0) : run.start].tobytes(),
            corpus.numbers[run.stop : run.stop + 2].tobytes(),
        )
        pairs = [(run, other)]
        if len(run) == len(other) > 1:
            pairs += [(run[i : i + 1], other[i : i + 1]) for i in range(len(run))]
        words = [[corpus.numbers[r.start : r.stop].tobytes() for r in pair] for pair in pairs]
        found.append([((min(w), max(w)), before + after) for w in words])
    return found


def _are_filled_in(corpus: Corpus, places: Int64) -> Bools:
    """Whether other texts have other words at places of the corpus."""
    inner = (places >= 2) & (places < len(corpus.numbers) - 2)
    wanted = np.unique(_around(corpus, places[inner]))
    may_be = np.zeros(_REMAINDERS, dtype=bool)
    may_be[wanted % _REMAINDERS] = True
    seen = [np.empty((0, 2), dtype=np.int64)]
    for start in range(2, len(corpus.numbers) - 2, _BLOCK) if len(wanted) else ():
        block = np.arange(start, min(start + _BLOCK, len(corpus.numbers) - 2))
        around = _around(corpus, block)
        likely = may_be[around % _REMAINDERS]  # fast, and leaves few to be looked up
        block, around = block[likely], around[likely]
        at = np.minimum(np.searchsorted(wanted, around), len(wanted) - 1)
        known = wanted[at] == around
        seen.append(np.unique(np.stack([at[known], corpus.numbers[block[known]]], 1), axis=0))
    fillings = np.bincount(np.unique(np.concatenate(seen), axis=0)[:, 0], minlength=len(wanted))
    filled = np.zeros(len(places), dtype=bool)
    if len(wanted):
        at = np.searchsorted(wanted, _around(corpus, places[inner]))
        filled[inner] = fillings[at] >= _FILLINGS
    return filled


def _around(corpus: Corpus, places: Int64) -> UInt64:
    """A code for the two words before and the two after each place."""
    return mixed(corpus.numbers[places + side] for side in _SIDES)
