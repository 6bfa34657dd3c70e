"""Containment of one text in another, word by word: the exact check behind every removal.

Sets of positions are integers with a byte for each word, 1 if it is in the set: Python then counts
and combines them at the speed of C.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from curate.guard.corpus import Corpus, Int64, UInt64
from curate.guard.overlap import GRAM, Int32, Overlap, codes_of

# Of a text's own words (not boilerplate), at least so many have to be found again, in runs of
# three. A text with few of its own can also be judged as a whole.
_ENOUGH, _FEW = 8, 16
# As a whole: so many of all its words are found again in runs of two; of its own words so many,
# wherever they stand; and those missing are so few of all. A template with another name in it, or
# a short question about something else, is a different text.
_WHOLE, _OWN, _MISSING = 0.8, 0.75, 0.1
# Where little of its own was found, the rest is a frame: of two texts of one frame the differing
# words and the places at which the order breaks are at most so many, and a tenth of the words.
_BREAKS, _BREAK_SHARE = 2, 0.1
_TELLING, _TELLING_BREAK_SHARE = 2, 0.25  # where so many of its own words were found
_PLACES = 32  # of one run that are tried; bounds the time for texts that repeat themselves
# Texts that are near-duplicates differ in a word here and there. So many words of its own in a
# row are another question about the same passage.
_FOREIGN = 5
# Completions shorter than this say something else when a word is changed.
LONG_COMPLETION = 8

_PAIR = 2
_READY = 1024  # texts kept ready for comparison, of about 30 kB each


class Text:
    """The first words of a text of a corpus, or all, to be compared.

    Attributes:
        number: Which text it is.
        start: Where it begins in the corpus.
        words: Its words, as numbers.
        prompt: How many of them are the prompt's.
        own: Those that are not boilerplate, as a set of positions.
        signs: Those that are numbers, operators or brackets.
    """

    def __init__(self, corpus: Corpus, overlap: Overlap, number: int, size: int) -> None:
        self.number = number
        self.start = int(corpus.starts[number])
        self.prompt = int(corpus.prompts[number])
        place = slice(self.start, self.start + size)
        self._numbers = corpus.numbers[place]
        self.words: list[int] = self._numbers.tolist()
        self.signs = _positions(corpus.signs[self._numbers].tobytes())
        self._compared: Text | None = None  # the last one, and what was found in it
        self._found: dict[int, int] = {}
        self._runs: dict[int, tuple[list[int], frozenset[int]]] = {}
        self.own = _positions((~overlap.boilerplate[place]).tobytes())

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def vocabulary(self) -> frozenset[int]:
        """Its words, in no order."""
        return frozenset(self.words)

    def runs(self, size: int) -> tuple[list[int], frozenset[int]]:
        """A number for each of its runs of two or three words, in order and as a set."""
        if size not in self._runs:
            runs: Int64 | UInt64
            if size == _PAIR:
                runs = self._numbers[:-1].astype(np.int64) << 32 | self._numbers[1:]
            else:
                runs = codes_of(self._numbers)
            listed: list[int] = runs.tolist()
            self._runs[size] = listed, frozenset(listed)
        return self._runs[size]

    def found_in(self, other: Text, size: int) -> int:
        """Positions of the words that stand in a run of `size` words which `other` has too."""
        if self._compared is not other:
            self._compared, self._found = other, {}
        if size not in self._found:
            begins = _positions(map(other.runs(size)[1].__contains__, self.runs(size)[0]))
            found = begins
            for offset in range(1, size):
                found |= begins << 8 * offset
            self._found[size] = found
        return self._found[size]

    def own_in(self, other: Text) -> int:
        """How many of its own words stand in a run of three which `other` has too."""
        return (self.found_in(other, GRAM) & self.own).bit_count()

    def stands_whole_in(self, other: Text) -> bool:
        """Whether its words stand in `other` one after the other."""
        mine, theirs = self._numbers.tobytes(), other._numbers.tobytes()
        at = theirs.find(mine)
        while at > 0 and at % self._numbers.itemsize:  # inside of a number
            at = theirs.find(mine, at + 1)
        return at >= 0

    def missing_from(self, other: Text) -> int:
        """Positions of its own words that `other` has nowhere."""
        return self.own & ~_positions(map(other.vocabulary.__contains__, self.words))


def told(corpus: Corpus) -> Int64:
    """(S,) how many words of each text tell whether two questions are the same.

    A short completion after a prompt does not: an answer of a word or two says nothing.
    """
    short = (corpus.prompts > 0) & (corpus.lengths - corpus.prompts < LONG_COMPLETION)
    return np.where(short, corpus.prompts, corpus.lengths)


class Texts:
    """The texts of a corpus; those looked at lately are kept ready."""

    def __init__(self, corpus: Corpus, overlap: Overlap, *, whole: bool = True) -> None:
        self._corpus, self._overlap = corpus, overlap
        self._sizes = corpus.lengths if whole else told(corpus)
        self._ready: OrderedDict[int, Text] = OrderedDict()

    def __getitem__(self, number: int) -> Text:
        text = self._ready.pop(number, None)
        self._ready[number] = text = text or Text(
            self._corpus, self._overlap, number, int(self._sizes[number])
        )
        if len(self._ready) > _READY:
            self._ready.popitem(last=False)
        return text


@dataclass(frozen=True)
class Match:
    """How one text stands in another.

    Attributes:
        share: Fraction of its own words (or of all, if it has few of its own) that are found again.
        start: The longest passage that is found again: its first word.
        stop: Just after its last word.
    """

    share: float
    start: int
    stop: int


def stands_in(text: Text, other: Text, share: float) -> Match | None:
    """Find a text in another one: verbatim or lightly edited, alone or among other words.

    Args:
        text: What is looked for.
        other: Where it is looked for.
        share: How much of its own words has to be found again.
    """
    found = text.found_in(other, GRAM)
    own, again = text.own.bit_count(), (found & text.own).bit_count()
    if again >= _ENOUGH and again >= share * own:
        return Match(_known(again / own, text, other), *_longest_run(found, len(text)))
    missing = text.missing_from(other).bit_count()
    if own >= _FEW or missing > min((1 - _OWN) * own, _MISSING * len(text)):
        return None
    telling = again >= _TELLING and again >= share * own
    if _breaks(text, other, _TELLING_BREAK_SHARE if telling else _BREAK_SHARE):
        return None
    found = text.found_in(other, _PAIR)
    if found.bit_count() < _WHOLE * len(text):
        return None
    again_of_all = _known(found.bit_count() / len(text), text, other)
    return Match(again_of_all, *_longest_run(found, len(text)))


def may_stand_in(
    overlap: Overlap, texts: Int64 | Int32, shared: Int64 | Int32, share: float
) -> npt.NDArray[np.bool_]:
    """Whether `stands_in` can find texts of which others have so many triples; cheap, and sure.

    Args:
        overlap: What is known of the texts.
        texts: (P,) the texts.
        shared: (P,) how many triples that few texts hold the other one has too.
        share: As for `stands_in`.
    """
    own = overlap.own[texts]
    return (own < _FEW) | (GRAM * shared * overlap.repeats[texts] >= share * own)


def near_duplicate(first: Text, second: Text, share: float) -> Match | None:
    """Whether two texts are the same but for a few words; the match of the first in the second.

    One of them has next to nothing of its own that the other lacks; what either lacks are single
    words, not another question; and what is to be learned from them, the completion, is the same.
    """
    shares = []
    for text, other in ((first, second), (second, first)):
        found = text.found_in(other, _PAIR)
        shares.append(found.bit_count() / len(text))
        if shares[-1] < share or not _same_completion(text, other, found, share):
            return None
        start, stop = _longest_run(text.own & ~found, len(text))
        if stop - start > _FOREIGN or text.missing_from(other).bit_count() > _MISSING * len(text):
            return None
    if not stands_in(first, second, share) and not stands_in(second, first, share):
        return None
    both = (first, second), (second, first)
    if max(text.own_in(other) for text, other in both) < _ENOUGH:
        for text, other in both:
            if _breaks(text, other, _BREAK_SHARE) or _tells_more(text, other):
                return None
    return Match(
        _known(min(shares), first, second), *_longest_run(first.found_in(second, GRAM), len(first))
    )


def differences(text: Text, other: Text) -> int:
    """Positions of the words in no run of three that the other text has too."""
    every = _positions(b"\1" * len(text))
    return every & ~text.found_in(other, GRAM)


def same_prompt(first: Text, second: Text, words: int) -> bool:
    """Whether two texts have the same prompt, of at least so many words."""
    size = first.prompt
    return size >= words and size == second.prompt and first.words[:size] == second.words[:size]


def _tells_more(text: Text, other: Text) -> bool:
    """Whether a passage with several numbers or operators stands in only one of two texts."""
    differing = differences(text, other)
    start, stop = _longest_run(differing, len(text))
    inside = (text.signs & differing) >> 8 * start & _positions(b"\1" * (stop - start))
    return stop - start > _FOREIGN and inside.bit_count() > 1


def _known(share: float, text: Text, other: Text) -> float:
    """The share that is reported: all of a text only if it is there word by word, in its order."""
    if share < 1 or text.stands_whole_in(other):
        return share
    return 1 - 1 / (len(text) + 1)


def _same_completion(text: Text, other: Text, found: int, share: float) -> bool:
    """Whether the completions are alike, as far as `found`, the text's words in `other`, tells."""
    ours, theirs = text.words[text.prompt :], other.words[other.prompt :]
    if ours == theirs:
        return True
    again = (found >> 8 * text.prompt).bit_count()
    return min(len(ours), len(theirs)) >= LONG_COMPLETION and again >= share * len(ours)


def _positions(flags: Iterable[int]) -> int:
    """The positions at which a flag is set."""
    return int.from_bytes(bytes(flags), "little")


def _longest_run(positions: int, length: int) -> tuple[int, int]:
    """Start and stop of the first longest run of positions; (0, 0) if there are none."""
    flags = positions.to_bytes(length, "little")
    longest = max(flags.split(b"\0"), key=len)
    start = flags.find(longest) if longest else 0
    return start, start + len(longest)


def _breaks(text: Text, other: Text, share: float) -> bool:
    """Whether a text differs from another one of the same frame in more than a few words.

    It is laid out with the longest runs of three words and more that the other text has. The words
    that are left over, and the places between two runs, have to be few.
    """
    ours, theirs = text.runs(GRAM)[0], other.runs(GRAM)[0]
    places: dict[int, list[int]] = {}
    for place, run in enumerate(theirs):
        places.setdefault(run, []).append(place)
    at = pieces = covered = 0
    while at < len(ours):
        longest = 0
        for place in places.get(ours[at], [])[:_PLACES]:
            size, most = 1, min(len(ours) - at, len(theirs) - place)
            while size < most and ours[at + size] == theirs[place + size]:
                size += 1
            longest = max(longest, size)
        if longest:
            pieces, covered = pieces + 1, covered + longest + GRAM - 1
        at += longest + GRAM - 1 if longest else 1
    left = len(text) - covered
    return left + pieces - 1 > _BREAKS + share * len(text)
