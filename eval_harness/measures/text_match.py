"""Exact match and token F1 of answers, as the SQuAD evaluation counts them.

Source: the official script of SQuAD 1.1 (Rajpurkar et al. 2016, arXiv:1606.05250): lower case,
without punctuation, without the articles a, an and the, white space as single spaces. For English
prose the results are the script's. Three things go beyond it:

* punctuation is what Unicode calls so (¿ « 。 ؟), besides ASCII's;
* Chinese characters and Japanese kana are tokens of their own, as in MLQA (Lewis et al. 2020,
  arXiv:1910.07475), because no spaces part their words; composed and decomposed accents are equal;
* a step that would leave nothing is left out. The answers "A" and "the" would otherwise be empty
  and equal, and so would "+" and "?".
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_UNSPACED = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")


def answer_tokens(text: str) -> list[str]:
    """The tokens that count when answers are compared; none only for blank text.

    Example:
        >>> answer_tokens("The river, a stone.")
        ['river', 'stone']
    """
    text = unicodedata.normalize("NFC", text.lower())
    text = _unless_blank("".join(c for c in text if not _is_punctuation(c)), text)
    text = _unless_blank(_ARTICLES.sub(" ", text), text)
    return _UNSPACED.sub(r" \1 ", text).split()


def exact_match(prediction: str, reference: str) -> bool:
    """Whether both have the same tokens in the same order.

    Example:
        >>> exact_match("The Nile.", "nile")
        True
    """
    return answer_tokens(prediction) == answer_tokens(reference)


def token_f1(prediction: str, reference: str) -> float:
    """Harmonic mean of the precision and the recall of tokens, repeated ones counted, in [0, 1].

    If one side is blank: 1 if the other is as well, else 0.

    Example:
        >>> token_f1("the river Nile", "Nile")
        0.6666666666666666
    """
    found, expected = answer_tokens(prediction), answer_tokens(reference)
    if not found or not expected:
        return float(found == expected)
    shared = sum((Counter(found) & Counter(expected)).values())
    return 2.0 * shared / (len(found) + len(expected))


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def _unless_blank(changed: str, text: str) -> str:
    return changed if changed.strip() else text
