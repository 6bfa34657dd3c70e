"""Texts that share word triples which few texts hold, and words that are boilerplate.

A triple in more than `limit` texts is boilerplate: an instruction, a template, a passage that many
rows ask about. It is no evidence that two rows are alike. Since every other triple has at most
`limit` texts, all pairs of texts that share one are found exactly, in linear time, however many
rows look alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.guard.corpus import Corpus, Int64, UInt64

Int32 = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

GRAM = 3
# Triples sorted at once, and words read at once; they bound memory and do not change the result.
_AT_ONCE, _BLOCK = 1 << 19, 1 << 20
_MIXER, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)


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


def find_overlap(corpus: Corpus, pool: Bools, tests: Bools, *, within_pool: bool) -> Overlap:
    """Compare pool texts with test texts, and with one another if that is wanted too.

    Args:
        corpus: S texts.
        pool: (S,) which texts occur in the pool.
        tests: (S,) which texts occur among targets or test rows; a text may be in both.
        within_pool: Whether pairs of two pool texts are wanted.
    """
    limit = boilerplate_limit(len(corpus))
    inside = _inside(corpus)
    common_from = np.zeros(len(corpus.numbers), dtype=bool)
    repeats = np.ones(len(corpus), dtype=np.int64)
    keys, shared = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32)
    parts = 1 + len(inside) // _AT_ONCE
    for part in range(parts):
        codes, places = _part(corpus, inside, part, parts)  # equal triples meet in one part
        triples, order = _sorted(codes)
        places = places[order]
        texts = np.searchsorted(corpus.starts, places, side="right") - 1
        once = np.ones(len(codes), dtype=bool)  # a triple counts once in a text
        once[1:] = (np.diff(triples) != 0) | (np.diff(texts) != 0)
        common = np.bincount(triples, once)[triples] > limit if len(codes) else once
        common_from[places] = common
        times = np.diff(np.flatnonzero(once), append=len(once))
        np.maximum.at(repeats, texts[once & ~common], times[~common[once]])
        rare = once & ~common
        found, counts = _pairs(triples[rare], texts[rare], limit, len(corpus))
        first, second = _ends(found, len(corpus)).T
        wanted = (pool[first] & tests[second]) | (tests[first] & pool[second])
        if within_pool:
            wanted |= pool[first] & pool[second]
        found, counts = found[wanted], counts[wanted]
        keys, shared = _merged(np.concatenate([keys, found]), np.concatenate([shared, counts]))
    pairs = _ends(keys, len(corpus))
    del keys, inside
    boilerplate = _spread(common_from)
    return Overlap(boilerplate, _count(~boilerplate, corpus), repeats, pairs, shared)


def codes_of(numbers: npt.NDArray[np.int32]) -> UInt64:
    """A 64-bit code for each run of three words."""
    begins = max(len(numbers) - GRAM + 1, 0)
    return mixed(numbers[offset : offset + begins] for offset in range(GRAM))


def mixed(columns: Iterable[npt.NDArray[np.int32]]) -> UInt64:
    """A 64-bit code for each row of a table that is given by columns."""
    codes: UInt64 = np.zeros(1, dtype=np.uint64)
    for column in columns:
        codes = (codes + column.astype(np.uint64) + np.uint64(1)) * _MIXER  # wraps around
        codes ^= codes >> _SHIFT
    return codes


def _inside(corpus: Corpus) -> Bools:
    """Whether the run of three words that begins at a word ends in the same text."""
    inside = np.ones(max(len(corpus.numbers) - GRAM + 1, 0), dtype=bool)
    for offset in range(1, GRAM):
        last = corpus.starts[1:] - offset
        inside[last[(last >= 0) & (last < len(inside))]] = False
    return inside


def _part(corpus: Corpus, inside: Bools, part: int, parts: int) -> tuple[UInt64, Int64]:
    """The codes of one part of all triples, and where they begin, ascending."""
    found = [(np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64))]
    for start in range(0, len(inside), _BLOCK):
        codes = codes_of(corpus.numbers[start : start + _BLOCK + GRAM - 1])
        mine = inside[start : start + _BLOCK] & (codes % np.uint64(parts) == part)
        found.append((codes[mine], np.flatnonzero(mine) + start))
    return np.concatenate([c for c, _ in found]), np.concatenate([p for _, p in found])


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
