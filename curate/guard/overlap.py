"""Texts that share word triples which few texts hold, and words that are boilerplate.

A triple in more than `limit` texts is boilerplate: an instruction, a template, a passage that many
rows ask about. It is no evidence that two rows are alike. Since every other triple has at most
`limit` texts, all pairs of texts that share one are found exactly, in linear time, however many
rows look alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.guard.corpus import Corpus, Int64, UInt64

Int32 = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

GRAM = 3
# Which pairs of texts are wanted, of (P,) first ones and (P,) second ones.
Wanted = Callable[[Int32, Int32], Bools]
# Triples sorted at once, and words read at once; they bound memory and do not change the result.
_AT_ONCE, _BLOCK = 1 << 19, 1 << 20
_MIXERS = np.array(  # odd numbers drawn at random
    [0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0x8CB92BA72F3D8DD7, 0xABC98388FB8FAC03],
    dtype=np.uint64,
)


@dataclass(frozen=True, eq=False)
class Overlap:
    """Of a corpus with W words.

    Attributes:
        boilerplate: (W,) whether a word stands in a triple that many texts hold.
        own: (S,) how many words of each text are no boilerplate.
        repeats: (S,) how often the one of these triples stands in a text that it repeats most.
        pairs: (P, 2) texts that share triples which few texts hold: first < second, ascending.
        shared: (P,) how many of those they share.
    """

    boilerplate: Bools
    own: Int64
    repeats: Int64
    pairs: Int32
    shared: Int32


def boilerplate_limit(texts: int) -> int:
    """In how many of so many texts a word triple may stand without being boilerplate."""
    return max(5, min(20, texts // 50))


def find_overlap(corpus: Corpus, pool: Bools, tests: Bools, within_pool: Wanted) -> Overlap:
    """Compare pool texts with test texts, and with one another where that is wanted.

    Args:
        corpus: S texts.
        pool: (S,) which texts occur in the pool.
        tests: (S,) which texts occur among targets or test rows; a text may be in both.
        within_pool: Which pairs of two pool texts are wanted: millions are alike in a few words.
    """
    limit = boilerplate_limit(len(corpus))
    parts = 1 + len(corpus.numbers) // _AT_ONCE
    part_of = _part_of(corpus, parts)
    common_from = np.zeros(len(corpus.numbers), dtype=bool)
    repeats = np.ones(len(corpus), dtype=np.int64)
    keys, shared = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32)
    for part in range(parts):  # equal triples meet in one part
        places = np.flatnonzero(part_of == part)
        texts = np.searchsorted(corpus.starts, places, side="right") - 1
        triples, order = _sorted(mixed(corpus.numbers[places + i] for i in range(GRAM)))
        places, texts = places[order], texts[order]
        once = np.ones(len(places), dtype=bool)  # a triple counts once in a text
        once[1:] = (np.diff(triples) != 0) | (np.diff(texts) != 0)
        common = np.bincount(triples, once)[triples] > limit if len(places) else once
        common_from[places] = common
        times = np.diff(np.flatnonzero(once), append=len(once))
        np.maximum.at(repeats, texts[once & ~common], times[~common[once]])
        rare = once & ~common
        found, counts = _pairs(triples[rare], texts[rare], limit, len(corpus))
        first, second = _ends(found, len(corpus)).T
        wanted = (pool[first] & tests[second]) | (tests[first] & pool[second])
        both = np.flatnonzero(pool[first] & pool[second] & ~wanted)
        wanted[both] = within_pool(first[both], second[both])
        found, counts = found[wanted], counts[wanted]
        keys, shared = _merged(np.concatenate([keys, found]), np.concatenate([shared, counts]))
    pairs = _ends(keys, len(corpus))
    del keys, part_of
    boilerplate = _spread(common_from)
    return Overlap(boilerplate, _count(~boilerplate, corpus), repeats, pairs, shared)


def codes_of(numbers: npt.NDArray[np.int32]) -> UInt64:
    """A 64-bit code for each run of three words."""
    begins, wide = max(len(numbers) - GRAM + 1, 0), numbers.astype(np.uint64)
    return mixed(wide[offset : offset + begins] for offset in range(GRAM))


def mixed(columns: Iterable[Int32 | UInt64]) -> UInt64:
    """A 64-bit code for each row of a table that is given by up to four columns."""
    codes: UInt64 = np.zeros(1, dtype=np.uint64)
    for column, mixer in zip(columns, _MIXERS, strict=False):
        codes = codes + column.astype(np.uint64, copy=False) * mixer  # wraps around
    return codes


def _part_of(corpus: Corpus, parts: int) -> npt.NDArray[np.unsignedinteger]:
    """Which part the run of three words that begins at a word is in; `parts` where none does."""
    found = np.empty(len(corpus.numbers), dtype=np.min_scalar_type(parts))
    for start in range(0, len(found), _BLOCK):
        codes = codes_of(corpus.numbers[start : start + _BLOCK + GRAM - 1])
        found[start : start + len(codes)] = codes % np.uint64(parts)
    for offset in range(1, GRAM):  # it would end in another text
        last = corpus.starts[1:] - offset
        found[last[last >= 0]] = parts
    return found


def _sorted(codes: UInt64) -> tuple[Int64, Int64]:
    """Codes as numbers from 0, ascending, and their order."""
    order = np.argsort(codes, kind="stable")  # places come in ascending and stay so
    codes = codes[order]
    new = np.zeros(len(codes), dtype=np.int64)
    new[1:] = codes[1:] != codes[:-1]
    return np.cumsum(new), order


def _pairs(triples: Int64, texts: Int64, limit: int, size: int) -> tuple[Int64, Int32]:
    """first·S + second for all texts that share a triple, and how many they share."""
    keys = [np.empty(0, dtype=np.int64)]
    for apart in range(1, limit):  # at most `limit` texts stand side by side
        same = triples[apart:] == triples[:-apart]
        if not same.any():
            break
        keys.append(texts[:-apart][same] * size + texts[apart:][same])
    found, counts = np.unique(np.concatenate(keys), return_counts=True)
    return found, counts.astype(np.int32)


def _merged(keys: Int64, counts: Int32) -> tuple[Int64, Int32]:
    """Each key once, ascending, with the sum of its counts."""
    order = np.argsort(keys, kind="stable")  # fast: what comes in are two ascending runs
    keys, counts = keys[order], counts[order]
    new = np.flatnonzero(np.diff(keys, prepend=-1))
    return keys[new], np.add.reduceat(counts, new, dtype=np.int32) if len(new) else counts


def _ends(keys: Int64, size: int) -> Int32:
    """(P, 2) the two texts of each key."""
    pairs = np.empty((len(keys), 2), dtype=np.int32)
    if len(keys):
        np.divmod(keys, size, out=(pairs[:, 0], pairs[:, 1]), casting="same_kind")
    return pairs


def _spread(common_from: Bools) -> Bools:
    """Which words stand in a triple that begins at a marked word."""
    inside = common_from.copy()
    for offset in range(1, GRAM):
        inside[offset:] |= common_from[:-offset]
    return inside


def _count(flags: Bools, corpus: Corpus) -> Int64:
    """(S,) how many of each text's words have a flag."""
    counts = np.add.reduceat(np.append(flags, False), corpus.starts[:-1], dtype=np.int64)
    return np.where(corpus.lengths, counts, 0)
