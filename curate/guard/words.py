"""Text -> words: what is left of a text when case, punctuation and layout do not count."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Scripts that put no spaces between words: there a character counts as a word.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
# A sign before a number is part of what is said (3 - 4 is not 3 + 4); elsewhere it is layout.
_LETTERS = rf"[^\W_{_UNSPACED}]+"
_REST = rf"[{_UNSPACED}]|[-+*/^=<>%](?=\s*\d)"
_WORD = re.compile(rf"{_LETTERS}|{_REST}")
_WRITTEN = re.compile(rf"{_LETTERS}(?:['’]+{_LETTERS})*|{_REST}")  # apostrophes do not count


def words(text: str) -> list[str]:
    """The words of a text: Unicode-normalized, case-folded, without punctuation.

    A text without any word is its characters, so that one emoji is not another.
    """
    folded = unicodedata.normalize("NFKC", text).casefold().replace("'", "").replace("’", "")
    return _WORD.findall(folded) or list("".join(folded.split()))


def count_words(text: str) -> int:
    """How many words a text has."""
    return len(_read(text)[0])


def excerpt(text: str, start: int, stop: int) -> str:
    """The passage of `text` that holds its words `start` to `stop`, as it was written.

    Where normalizing changed the number of words, the words themselves.
    """
    found, places = _read(text)
    stop = min(stop, len(found))
    if start >= stop:
        return ""
    if len(places) != len(found):
        return " ".join(found[start:stop])
    return " ".join(text[places[start][0] : places[stop - 1][1]].split())


@lru_cache(maxsize=2)  # a prompt and its completion, of which several passages are asked for
def _read(text: str) -> tuple[list[str], list[tuple[int, int]]]:
    """The words of a text; and where words were written, which may be more or fewer."""
    return words(text), [found.span() for found in _WRITTEN.finditer(text)]
