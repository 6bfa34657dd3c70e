"""The distinct texts of several collections, as numbered words.

Rows that say the same thing, but for case, layout and sentence punctuation, are one text. How often
they are repeated therefore says nothing about what is boilerplate, and costs nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from airrep.records import Example
from curate.guard.words import is_sign, is_soft, words

Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Corpus:
    """S distinct texts of W words in all.

    Attributes:
        numbers: (W,) int32, the words of all texts, one after the other; equal words have equal
            numbers.
        starts: (S + 1,) where each text's words begin in `numbers`.
        prompts: (S,) how many of a text's words are the prompt's; where rows divide the same words
            differently, the most.
        prompt_keys: (S,) a hash of each text's prompt: equal for equal words.
        completion_keys: (S,) the same for its completion.
        signs: (V,) whether the word of a number is a number, an operator or a bracket.
        soft: (V,) whether it is other punctuation.
        texts: For each collection, the text of each of its rows.
    """

    numbers: npt.NDArray[np.int32]
    starts: Int64
    prompts: Int64
    prompt_keys: UInt64
    completion_keys: UInt64
    signs: npt.NDArray[np.bool_]
    soft: npt.NDArray[np.bool_]
    texts: tuple[Int64, ...]

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def lengths(self) -> Int64:
        """(S,) how many words each text has."""
        return np.diff(self.starts)

    def words(self, text: int) -> list[int]:
        """The words of one text, as numbers."""
        return self.numbers[self.starts[text] : self.starts[text + 1]].tolist()

    def holds(self, collection: int) -> npt.NDArray[np.bool_]:
        """(S,) whether a text occurs in a collection."""
        found = np.zeros(len(self), dtype=bool)
        found[self.texts[collection]] = True
        return found


class _Vocabulary(dict[str, int]):
    """Word -> its number; a word that is asked for the first time gets the next one."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


def read_corpus(*collections: Sequence[Example]) -> Corpus:
    """The words of each example's prompt and completion; goes through each collection once."""
    vocabulary = _Vocabulary()
    numbers = array("i")
    rows = array("q")  # of each: its words, its prompt's words, hashes of all, prompt, completion
    for examples in collections:
        for example in examples:
            prompt = array("i", map(vocabulary.__getitem__, words(example.prompt)))
            completion = array("i", map(vocabulary.__getitem__, words(example.completion)))
            whole = prompt + completion
            numbers.extend(whole)
            rows.extend((len(whole), len(prompt), *map(_hash, (whole, prompt, completion))))
    table = np.array(rows, dtype=np.int64).reshape(-1, 5)
    sizes = [len(examples) for examples in collections]
    kinds = np.array([(is_sign(word), is_soft(word)) for word in vocabulary], dtype=bool)
    return _distinct(np.frombuffer(numbers, dtype=np.int32), table, kinds.reshape(-1, 2).T, sizes)


def _hash(found: array[int]) -> int:
    digest = blake2b(found, digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _distinct(
    numbers: npt.NDArray[np.int32], rows: Int64, kinds: npt.NDArray[np.bool_], sizes: Sequence[int]
) -> Corpus:
    """The corpus of all rows, of which some are the same text; texts are in order of occurrence."""
    _, first, inverse = np.unique(rows[:, 2], return_index=True, return_inverse=True)
    order = np.argsort(first)
    texts = np.argsort(order)[inverse.reshape(-1)]
    if len(first) < len(rows):
        stays = np.zeros(len(rows), dtype=bool)
        stays[first] = True
        numbers = numbers[np.repeat(stays, rows[:, 0])]
    most = np.argsort(rows[:, 1], kind="stable")  # the last one with each text is what is kept
    kept = np.empty((len(first), 4), dtype=np.int64)
    kept[texts[most]] = rows[most][:, [0, 1, 3, 4]]
    starts = np.concatenate([[0], np.cumsum(kept[:, 0])])
    keys = kept[:, 2:].astype(np.uint64)
    bounds = np.cumsum([0, *sizes])
    parts = tuple(texts[a:b] for a, b in pairwise(bounds.tolist()))
    return Corpus(
        numbers, starts, kept[:, 1].copy(), keys[:, 0], keys[:, 1], kinds[0], kinds[1], parts
    )
