"""Words of texts, in scripts with spaces and without."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.words import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat's 2 hats, a B_c.", ["the", "cat", "s", "2", "hats", "a", "b_c"]),
        ("Straße ＡＢＣ", ["strasse", "abc"]),
        ("नमस्ते दुनिया की", ["नमस्ते", "दुनिया", "की"]),  # vowel signs stay in their words
        ("مرحبًا می‌خواهم", ["مرحبًا", "می\u200cخواهم"]),
        ("पानी", ["पानी"]),
        ("שָׁלוֹם", ["שָׁלוֹם"]),
        ("天气好。x1", ["天", "气", "好", "天气", "气好", "x1"]),
        ("コーヒーと茶", [*"コーヒーと茶", "コー", "ーヒ", "ヒー", "ーと", "と茶"]),
        ("ｶﾞ", ["ガ"]),  # half-width, normalized
        ("กี่", ["กี่"]),  # one letter with its marks
        ("ໄປ", ["ໄ", "ປ", "ໄປ"]),
        ("មែ", ["មែ"]),
        ("မာ", ["မာ"]),
        ("𠮷野", ["𠮷", "野", "𠮷野"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("ok 🎉🎉", ["ok", "🎉", "🎉"]),
        ("Go天气go", ["go", "天", "气", "天气", "go"]),
        ("?! ... 。、", []),
        ("", []),
    ],
)
def test_words_of_a_text(text, expected):
    found = words(text)
    assert found == expected or sorted(found) == sorted(expected)


@given(st.text(st.characters(max_codepoint=0x7F)))
def test_of_ascii_they_are_what_stands_between_punctuation(text):
    assert words(text) == re.findall(r"\w+", text.lower())


@given(st.text())
def test_no_text_breaks_it_and_no_word_is_empty(text):
    assert all(words(text))
