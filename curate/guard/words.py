"""Text -> words: what is left of a text when case, layout and sentence punctuation do not count.

Everything else counts: digits and signs, operators, brackets, inner punctuation, and the marks that
change a letter (the vowel signs of Indic scripts and Arabic). docs/guard.md has the whole list.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from functools import lru_cache

# Scripts that put no spaces between words: there a character counts as a word.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u3005-\u3007\u3040-\u312f"
    "\u3400-\u9fff\ua980-\ua9ff\uaa60-\uaadf\uf900-\ufaff\U00020000-\U0003ffff"
)
# So long a run of letters is no word (base64, DNA, a hash): its characters are compared.
_LONGEST = 40
# Typographic forms of a character, and what is not seen.
_APOSTROPHES = dict.fromkeys(map(ord, "‘’‚‛′´`ʼ"), "'")
_FORMS = (
    _APOSTROPHES
    | dict.fromkeys(map(ord, "“”„‟″«»"), '"')
    | dict.fromkeys(map(ord, "‐‑‒–−"), "-")
    | dict.fromkeys(map(ord, "—―"), " ")  # what a comma could stand for
    | dict.fromkeys((0xAD, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF), "")
    # NFKC would make 5² the same as 52, and 1½ the same as 11⁄2.
    | {ord(c): f"^{unicodedata.normalize('NFKC', c)}" for c in "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ"}
    | {ord(c): f"_{unicodedata.normalize('NFKC', c)}" for c in "₀₁₂₃₄₅₆₇₈₉₊₋"}
    | {ord(c): f" {c}" for c in "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"}
)
_FORM = re.compile(f"[{''.join(map(chr, _FORMS))}]")
_SPACES = re.compile(r"\s+")
_SOFT = frozenset(".,;:!?'\"`")  # what an editor may change
_ENDS = re.escape(".,;:!?。、،؛؟।॥։።")


@lru_cache(maxsize=2)
def _patterns(ascii_only: bool) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What ends a sentence; and a word: letters with their marks, or any other character."""
    letters, after = "[a-z0-9]+", r"(?<=[a-z]{2}.)|(?<=[a-z]{2}[ ][.,;:!])"
    signs, unspaced = ".,;:!?", ""
    if not ascii_only:
        every = map(chr, range(0x300, 0x1F000))
        marks = re.escape("".join(c for c in every if unicodedata.category(c)[0] == "M"))
        letter = rf"[^\W_{_UNSPACED}]"
        letters = rf"{letter}+(?:[{marks}\u200c\u200d]+{letter}*)*"  # `re` has no marks in words
        after = r"(?<=[^\W\d_]{2}.)|(?<=[^\W\d_]{2}[ ][.,;:!।])" + rf"|(?<=[{marks}].)"
        signs, unspaced = _ENDS, rf"|(?<=[{_UNSPACED}].)[{_ENDS}]*(?=[{_UNSPACED}])"
    ends = (
        rf"[{signs}](?:(?:{after})[{signs}]*(?=[\s\"')\]]|$)"
        rf"|(?<=[^\s{signs}][^!])[{signs}]*\s?$|(?<=\s[.])[.]+(?=\s|$){unspaced})"
        r"|(?<=[a-z]{2}[ ])--(?=[ ])"
    )
    found = (
        rf"[a-z]+(?=[ ,])|\d+(?:[.,]\d+)+(?!{letters})|{letters}(?:'+{letters})*"
        r"|-{4,}|={4,}|_{4,}|\*{4,}|#{4,}|~{4,}|\.{4,}|\S"
    )
    return re.compile(ends), re.compile(found)


def words(text: str) -> list[str]:
    """The words of a text: Unicode-normalized, in lower case, without sentence punctuation.

    A text of nothing else is its characters, so that "?" is not ".".
    """
    ascii_only = text.isascii()
    if not ascii_only:
        text = unicodedata.normalize("NFKC", _FORM.sub(lambda m: _FORMS[ord(m[0])], text))
    text = " ".join(text.lower().split())
    ends, word = _patterns(ascii_only)
    found = word.findall(ends.sub(" ", text))
    if max(map(len, found), default=0) > _LONGEST:
        found = [part for word in found for part in (word if len(word) > _LONGEST else (word,))]
    return found or list(text.replace(" ", ""))


def is_sign(word: str) -> bool:
    """Whether a word is a number, an operator or a bracket: another one makes another task."""
    return not any(map(str.isalpha, word)) and not is_soft(word)


def is_soft(word: str) -> bool:
    """Whether a word is punctuation that an editor may change: no difference in the task."""
    return word in _SOFT


def count_words(text: str) -> int:
    """How many words a text has."""
    return len(_words(text))


def excerpt(text: str, start: int, stop: int) -> str:
    """The passage of `text` that holds its words `start` to `stop`, as it was written.

    Where normalizing changed the number of words, the words themselves.
    """
    found = _words(text)
    stop = min(stop, len(found))
    if start >= stop:
        return ""
    places, gaps = _places(text)
    if len(places) != len(found):
        return " ".join(text.split() if stop - start == len(found) else found[start:stop])
    begin, end = (
        place + gaps[bisect_right(gaps, (place, len(text))) - 1][1]
        for place in (places[start][0], places[stop - 1][1] - 1)
    )
    return " ".join(text[begin : end + 1].split())


@lru_cache(maxsize=2)  # a prompt and its completion, of which several passages are asked for
def _words(text: str) -> list[str]:
    return words(text)


@lru_cache(maxsize=2)
def _places(text: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Where the words of a text, which may be more or fewer, stand once its spaces are single.

    And from which places on how many characters of space were left out.
    """
    lower = text.translate(_APOSTROPHES).lower()
    gaps = [(0, 0)]
    if len(lower) != len(text):
        return [], gaps
    for space in _SPACES.finditer(lower):
        more = len(space[0]) - 1
        if more:
            left_out = gaps[-1][1] + more
            gaps.append((space.end() - left_out, left_out))
    ends, word = _patterns(text.isascii())
    blank = ends.sub(lambda end: " " * len(end[0]), _SPACES.sub(" ", lower))
    places = [found.span() for found in word.finditer(blank)]
    if any(stop - start > _LONGEST for start, stop in places):
        places = [
            (at, at + size)
            for start, stop in places
            for size in (stop - start if stop - start <= _LONGEST else 1,)
            for at in range(start, stop, size)
        ]
    return places, gaps
