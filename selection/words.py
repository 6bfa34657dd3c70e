"""Text -> the words that lexical scorers compare, in scripts with spaces and without."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby, pairwise
from unicodedata import category, normalize

# Scripts that put no spaces between words: Thai and Lao, Myanmar, Khmer, New Tai Lue and Tai Tham,
# kana and bopomofo, Chinese characters.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf"
    "\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
_SYMBOLS = "\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"  # emoji: each is a word
_LAST_MARK = 0x1E950  # beyond it there are only selectors of variants


def _marks() -> Iterator[str]:
    """Ranges of combining marks, vowel signs for instance, which Python takes for no letters."""
    codes = (i for i in range(0x300, _LAST_MARK) if category(chr(i)).startswith("M"))
    for _, group in groupby(enumerate(codes), lambda pair: pair[1] - pair[0]):
        run = [code for _, code in group]
        yield f"{chr(run[0])}-{chr(run[-1])}"


_IN_WORDS = "".join(_marks()) + "\u200c\u200d"  # and what joins letters or keeps them apart
_LETTER = rf"[^\W{UNSPACED}]"
_SPACED = rf"{_LETTER}+(?:[{_IN_WORDS}]+{_LETTER}*)*|[{_SYMBOLS}]"
_CHARACTER = rf"(?!\W)[{UNSPACED}][{_IN_WORDS}]*"
_WORD = re.compile(_SPACED)
_RUN = re.compile(rf"(?P<run>(?:{_CHARACTER})+)|{_SPACED}")
_CHARACTERS = re.compile(_CHARACTER)
_ANY_UNSPACED = re.compile(f"[{UNSPACED}]")


def words(text: str) -> list[str]:
    """The words of a text, Unicode-normalized and case-folded, in order.

    A word keeps its combining marks. Of scripts without spaces every character and every pair of
    neighbors counts as a word. An emoji is a word, punctuation is none.

    Example:
        >>> words("Two cats, 2 dogs.")
        ['two', 'cats', '2', 'dogs']
        >>> words("天气好")
        ['天', '气', '好', '天气', '气好']
    """
    folded = normalize("NFKC", text).casefold()
    if not _ANY_UNSPACED.search(folded):
        return _WORD.findall(folded)
    found: list[str] = []
    for match in _RUN.finditer(folded):
        if match["run"] is None:
            found.append(match[0])
            continue
        characters = _CHARACTERS.findall(match[0])
        found += characters
        found += (one + other for one, other in pairwise(characters))
    return found
