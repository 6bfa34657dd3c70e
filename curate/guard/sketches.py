"""A fast filter for pairs of texts that cannot be near-duplicates, by sketches of 64 bytes."""

from __future__ import annotations

import numpy as np

from curate.guard.corpus import Corpus, Int64, UInt64
from curate.guard.likeness import LONG_COMPLETION, told
from curate.guard.overlap import Bools, Int32, Wanted

_BITS = 512  # a bit stands for the words whose numbers leave one remainder
_AT_ONCE = 1 << 13  # pairs, and texts; bounds memory


def none(first: Int32, second: Int32) -> Bools:
    """No pair is wanted."""
    return np.zeros(len(first), dtype=bool)


def may_be_near(corpus: Corpus, share: float) -> Wanted:
    """Whether pairs of texts can be near-duplicates by their completions and their words.

    Args:
        corpus: All texts.
        share: The share of its words that each of two near-duplicates has in common with the other.
    """
    sizes, lengths = told(corpus), corpus.lengths - corpus.prompts
    keys, sketches = corpus.completion_keys, _sketches(corpus, sizes)
    sums = np.bitwise_count(sketches).sum(axis=1, dtype=np.int64)
    spared = (1 - share) * sizes + 1e-6  # words that the other one may lack

    def wanted(first: Int32, second: Int32) -> Bools:
        found = keys[first] == keys[second]
        found |= np.minimum(lengths[first], lengths[second]) >= LONG_COMPLETION
        left = np.flatnonzero(found)
        for start in range(0, len(left), _AT_ONCE):
            block = left[start : start + _AT_ONCE]
            a, b = first[block], second[block]
            shared = np.bitwise_count(sketches[a] & sketches[b]).sum(axis=1, dtype=np.int64)
            found[block] = (sums[a] - shared <= spared[a]) & (sums[b] - shared <= spared[b])
        return found

    return wanted


def _sketches(corpus: Corpus, sizes: Int64) -> UInt64:
    """(S, 8) the bits of the first words of each text."""
    lengths = corpus.lengths
    found = np.empty((len(corpus), _BITS // 64), dtype=np.uint64)
    for start in range(0, len(corpus), _AT_ONCE):
        begin, stop = corpus.starts[[start, min(start + _AT_ONCE, len(corpus))]]
        starts = corpus.starts[:-1][start : start + _AT_ONCE]
        texts = np.repeat(np.arange(len(starts)), lengths[start : start + _AT_ONCE])
        looked_at = np.arange(begin, stop) - starts[texts] < sizes[start + texts]
        bits = np.zeros((len(starts), _BITS), dtype=bool)
        bits[texts[looked_at], corpus.numbers[begin:stop][looked_at] % _BITS] = True
        found[start : start + _AT_ONCE] = np.packbits(bits, axis=1).view(np.uint64)
    return found
