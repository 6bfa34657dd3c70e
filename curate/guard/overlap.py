"""Texts that share word triples which few texts hold, and words that are boilerplate.

A triple in more than `limit` texts is boilerplate: an instruction, a template, a passage that many
rows ask about. It is no evidence that two rows are alike. Since every other triple has at most
`limit` texts, all pairs of texts that share one are found exactly, in linear time, however many
rows look alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.guard.corpus import Corpus, Int64

Bools = npt.NDArray[np.bool_]
UInt64 = npt.NDArray[np.uint64]

GRAM = 3
_AT_ONCE = 1 << 22  # triples sorted at once; bounds memory, does not change the result
_MIXER, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)


@dataclass(frozen=True, eq=False)
class Overlap:
    """Of a corpus with W words.

    Attributes:
        triples: (W,) int32, a number for the triple that begins at a word; equal triples have equal
            numbers. What stands where a text has no two words left is of no meaning.
        boilerplate: (W,) whether a word stands in a triple that many texts hold.
        own: (S,) how many words of each text are no boilerplate.
        repeats: (S,) how often the one of these triples stands in a text that it repeats most.
        pairs: (P, 2) texts that share triples which few texts hold: first < second, ascending.
        shared: (P,) how many of those they share.
    """

    triples: npt.NDArray[np.int32]
    boilerplate: Bools
    own: Int64
    repeats: Int64
    pairs: Int64
    shared: Int64


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
    codes, places = _triples(corpus)
    text_of = np.repeat(np.arange(len(corpus), dtype=np.int64), np.diff(corpus.starts))
    triple_at = np.zeros(len(corpus.numbers), dtype=np.int32)
    common_from = np.zeros(len(corpus.numbers), dtype=bool)
    repeats = np.ones(len(corpus), dtype=np.int64)
    numbered = 0
    found = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))]
    parts = 1 + len(codes) // _AT_ONCE
    part_of = codes % np.uint64(parts)  # equal triples meet in one part
    for part in range(parts):
        mine = np.flatnonzero(part_of == part)
        triples, texts, order = _sorted(codes[mine], text_of[places[mine]])
        once = np.ones(len(mine), dtype=bool)  # a triple counts once in a text
        once[1:] = (np.diff(triples) != 0) | (np.diff(texts) != 0)
        common = np.bincount(triples, once)[triples] > limit if len(mine) else once
        begins = places[mine[order]]
        common_from[begins] = common
        triple_at[begins] = triples + numbered
        numbered += int(triples[-1]) + 1 if len(triples) else 0
        times = np.diff(np.flatnonzero(once), append=len(once))
        np.maximum.at(repeats, texts[once & ~common], times[~common[once]])
        keys, counts = _pairs(triples[once & ~common], texts[once & ~common], limit, len(corpus))
        first, second = keys // len(corpus), keys % len(corpus)
        wanted = (pool[first] & tests[second]) | (tests[first] & pool[second])
        if within_pool:
            wanted |= pool[first] & pool[second]
        found.append((keys[wanted], counts[wanted]))
    keys, inverse = np.unique(np.concatenate([k for k, _ in found]), return_inverse=True)
    shared = np.bincount(inverse, np.concatenate([c for _, c in found]), len(keys))
    pairs = np.stack([keys // len(corpus), keys % len(corpus)], axis=1)
    boilerplate = _spread(common_from)
    own = np.bincount(text_of, ~boilerplate, len(corpus)).astype(np.int64)
    return Overlap(triple_at, boilerplate, own, repeats, pairs, shared.astype(np.int64))


def _triples(corpus: Corpus) -> tuple[UInt64, Int64]:
    """A code for each run of three words inside a text, and where the run begins."""
    begins = max(len(corpus.numbers) - GRAM + 1, 0)
    inside = np.ones(begins, dtype=bool)
    for offset in range(1, GRAM):
        last = corpus.starts[1:] - offset
        inside[last[(last >= 0) & (last < begins)]] = False
    return _codes(corpus.numbers, begins)[inside], np.flatnonzero(inside)


def _codes(numbers: npt.NDArray[np.int32], begins: int) -> UInt64:
    """A 64-bit code for each of the first `begins` runs of three words."""
    codes = np.zeros(begins, dtype=np.uint64)
    for offset in range(GRAM):
        codes += numbers[offset : offset + begins].astype(np.uint64) + np.uint64(1)
        codes *= _MIXER  # wraps around, as it should
        codes ^= codes >> _SHIFT
    return codes


def _sorted(codes: UInt64, texts: Int64) -> tuple[Int64, Int64, Int64]:
    """Triples as numbers from 0, ascending, the texts that hold them, ascending, and the order."""
    order = np.argsort(codes, kind="stable")  # texts come in ascending and stay so
    codes = codes[order]
    new = np.zeros(len(codes), dtype=np.int64)
    new[1:] = codes[1:] != codes[:-1]
    return np.cumsum(new), texts[order], order


def _pairs(triples: Int64, texts: Int64, limit: int, size: int) -> tuple[Int64, Int64]:
    """first·size + second for all texts that share a triple, and how many they share."""
    keys = [np.empty(0, dtype=np.int64)]
    for apart in range(1, limit):  # at most `limit` texts stand side by side
        same = triples[apart:] == triples[:-apart]
        if not same.any():
            break
        keys.append(texts[:-apart][same] * size + texts[apart:][same])
    found, counts = np.unique(np.concatenate(keys), return_counts=True)
    return found, counts.astype(np.int64)


def _spread(common_from: Bools) -> Bools:
    """Which words stand in a triple that begins at a marked word."""
    inside = common_from.copy()
    for offset in range(1, GRAM):
        inside[offset:] |= common_from[:-offset]
    return inside
