"""Pool rows that give away what the model is tested on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from airrep.records import Example
from curate.guard.corpus import Corpus, UInt64
from curate.guard.likeness import Match, Text, Texts, may_stand_in, same_prompt, stands_in
from curate.guard.overlap import Bools, Overlap
from curate.guard.report import Removal
from curate.guard.slots import other_tasks
from curate.guard.spans import shared_span

LEAK_SHARE = 0.5
_PROMPT_WORDS = 5  # a shorter prompt says too little to be recognized by itself


def in_tests(corpus: Corpus) -> Bools:
    """(S,) which texts occur in any collection but the first, the pool."""
    tests = np.zeros(len(corpus), dtype=bool)
    for collection in range(1, len(corpus.texts)):
        tests |= corpus.holds(collection)
    return tests


def leaks(
    corpus: Corpus,
    overlap: Overlap,
    pool: Sequence[Example],
    against: Mapping[str, Sequence[Example]],
    share: float,
) -> dict[int, Removal]:
    """Pool rows in which a target or a test example stands, verbatim or lightly edited.

    Args:
        corpus: The pool's texts, then those of `against`.
        overlap: What they share.
        pool: Rows that may be trained on.
        against: Name of a collection to examples that the model is meant for or tested on.
        share: How much of an example's own words (those that are no boilerplate) has to be found
            again in the row. Short examples have to be found as a whole.

    Returns:
        Position in `pool`, ascending, to the example that the row repeats most of.
    """
    examples: dict[int, tuple[str, Example]] = {}  # the first with each text
    for (name, rows), texts in zip(against.items(), corpus.texts[1:], strict=True):
        for example, text in zip(rows, texts.tolist(), strict=True):
            examples.setdefault(text, (name, example))
    matches = _matches(corpus, overlap, {text: rank for rank, text in enumerate(examples)}, share)
    texts = corpus.texts[0].tolist()
    leaking = {r for r, text in enumerate(texts) if text in matches}
    names = {}
    for row, example in enumerate(pool) if leaking else ():
        if row in leaking:
            names[row] = example.row, example.id
    found = {}
    # one original after the other: its words then have to be looked up once for all its spans
    for row in sorted(leaking, key=lambda r: matches[texts[r]][0]):
        repeated, match = matches[texts[row]]
        collection, original = examples[repeated]
        span, of = shared_span(original, match), f"{collection} {original.id}"
        found[row] = Removal(*names[row], "leak", of, match.share, span)
    return {row: found[row] for row in sorted(found)}


def _matches(
    corpus: Corpus, overlap: Overlap, ranks: Mapping[int, int], share: float
) -> dict[int, tuple[int, Match]]:
    """For each pool text that leaks: the test text that it repeats, and how.

    Of several, the first that is found when those that share most are looked at first.
    """
    rank = np.full(len(corpus), -1, dtype=np.int64)
    rank[list(ranks)] = list(ranks.values())
    in_pool = corpus.holds(0)
    found = {
        text: (text, Match(1.0, 0, int(corpus.lengths[text]))) for text in ranks if in_pool[text]
    }
    tested = np.flatnonzero((rank[overlap.pairs] >= 0).any(axis=1))
    pairs, shared = overlap.pairs[tested], np.tile(overlap.shared[tested], 2)
    rows, tests = np.concatenate([pairs, pairs[:, ::-1]]).T
    prompts = corpus.prompt_keys
    wanted = in_pool[rows] & (rank[rows] < 0) & (rank[tests] >= 0)
    wanted &= may_stand_in(overlap, tests, shared, share) | (prompts[rows] == prompts[tests])
    rows, tests, shared = rows[wanted], tests[wanted], shared[wanted]
    order = np.lexsort((rank[tests], -shared, rows))
    texts = Texts(corpus, overlap)
    grouped = groupby(order.tolist(), key=rows.__getitem__)
    left = {int(row): iter(tests[list(candidates)].tolist()) for row, candidates in grouped}
    while left:
        alike = _alike(texts, left, found, prompts, share)
        others = other_tasks(corpus, alike, both=True)
        doubtful = [row for row in left if row in found and prompts[row] != prompts[found[row][0]]]
        again = {row: left[row] for row, other in zip(doubtful, others, strict=True) if other}
        for row in again:
            del found[row]
        left = again
    return found


def _alike(
    texts: Texts,
    left: Mapping[int, Iterable[int]],
    found: dict[int, tuple[int, Match]],
    prompts: UInt64,
    share: float,
) -> Iterator[tuple[Text, Text]]:
    """Puts down in `found` what each row repeats; gives, while both are ready, other prompts."""
    for row, candidates in left.items():
        first = _first(texts, row, candidates, share)
        if first is not None:
            found[row] = first
            if prompts[row] != prompts[first[0]]:
                yield texts[first[0]], texts[row]


def _first(texts: Texts, row: int, tests: Iterable[int], share: float) -> tuple[int, Match] | None:
    """The first test text that stands in a row, or has its prompt."""
    for test in tests:
        match = stands_in(texts[test], texts[row], share)
        if match is None and same_prompt(texts[test], texts[row], _PROMPT_WORDS):
            match = Match(texts[test].prompt / len(texts[test]), 0, texts[test].prompt)
        if match is not None:
            return test, match
    return None
