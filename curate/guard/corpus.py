"""The distinct texts of several collections, as numbered words.

Rows that say the same thing, but for case, punctuation and layout, are one text. How often they
are repeated therefore says nothing about what is boilerplate, and costs nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from airrep.records import Example
from curate.guard.words import words

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Corpus:
    """S distinct texts of W words in all.

    Attributes:
        numbers: (W,) int32, the words of all texts, one after the other; equal words have equal
            numbers.
        starts: (S + 1,) where each text's words begin in `numbers`.
        prompts: (S,) how many of a text's words are the prompt's; where rows divide the same words
            differently, the most.
        texts: For each collection, the text of each of its rows.
    """

    numbers: npt.NDArray[np.int32]
    starts: Int64
    prompts: Int64
    texts: tuple[Int64, ...]

    def __len__(self) -> int:
        return len(self.prompts)

    def words(self, text: int) -> list[int]:
        """The words of one text, as numbers."""
        return self.numbers[self.starts[text] : self.starts[text + 1]].tolist()

    def part_numbers(self, *, completions: bool) -> Int64:
        """(S,) a number for each text's prompt, or its completion: equal for equal words."""
        middles = self.starts[:-1] + self.prompts
        starts, stops = (middles, self.starts[1:]) if completions else (self.starts[:-1], middles)
        known: dict[bytes, int] = {}
        bounds = zip(starts.tolist(), stops.tolist(), strict=True)
        found = [known.setdefault(self.numbers[a:b].tobytes(), len(known)) for a, b in bounds]
        return np.array(found, dtype=np.int64)

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
    """The words of each example's prompt and completion."""
    vocabulary = _Vocabulary()
    known: dict[bytes, int] = {}
    numbers = array("i")
    starts, prompts = array("q", [0]), array("q")
    texts = []
    for examples in collections:
        mine = array("q")
        for example in examples:
            prompt, completion = words(example.prompt), words(example.completion)
            found = array("i", map(vocabulary.__getitem__, prompt + completion))
            text = known.setdefault(blake2b(found.tobytes(), digest_size=16).digest(), len(known))
            if text == len(prompts):
                numbers.extend(found)
                starts.append(len(numbers))
                prompts.append(len(prompt))
            prompts[text] = max(prompts[text], len(prompt))
            mine.append(text)
        texts.append(np.array(mine, dtype=np.int64))
    return Corpus(
        np.array(numbers, dtype=np.int32),
        np.array(starts, dtype=np.int64),
        np.array(prompts, dtype=np.int64),
        tuple(texts),
    )
