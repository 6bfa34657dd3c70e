"""Which texts count as the same words, and how passages are quoted."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airrep.records import Example
from curate.guard.likeness import Match
from curate.guard.spans import shared_span
from curate.guard.words import count_words, excerpt, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's HERE,\n\tnow!", ["its", "here", "now"]),
        ("don’t stop", ["dont", "stop"]),
        ("snake_case", ["snake", "case"]),
        ("ﬁne １２", ["fine", "12"]),  # a ligature and full-width digits
        ("Straße", ["strasse"]),
        ("ไทย", list("ไทย")),
        ("漢字 kanji かな", ["漢", "字", "kanji", "か", "な"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("👍🏽 great 👍", ["great"]),
        ("", []),
        ("  \n", []),
    ],
)
def test_words_are_what_is_left_of_case_punctuation_and_layout(text, expected):
    assert words(text) == expected


def test_composed_and_decomposed_letters_are_the_same_words():
    text = "Café Ångström naïveté"
    assert words(unicodedata.normalize("NFD", text)) == words(unicodedata.normalize("NFC", text))


def test_signs_count_before_numbers_only():
    assert words("3 - 4") != words("3 + 4")
    assert words("well-known") == words("well known")


def test_a_text_without_words_is_its_characters():
    assert words("👍") != words("👎")
    assert words("?? !") == ["?", "?", "!"]


@given(st.text())
def test_any_text_has_words_and_all_of_it_can_be_quoted(text):
    found = words(text)
    assert count_words(text) == len(found)
    assert all(found)
    assert words(text.replace(" ", "  ")) == found or not any(c.isalnum() for c in text)
    if any(c.isalnum() for c in text):
        assert words(excerpt(text, 0, len(found))) == found


def test_an_excerpt_is_written_as_in_the_text():
    assert excerpt("So  Philip's dog,\nRex, barks.", 1, 4) == "Philip's dog, Rex"
    assert excerpt("one two three", 1, 99) == "two three"
    assert excerpt("one two three", 2, 2) == ""
    assert excerpt("สวัสดีครับ ok", 0, 6) == "สวัสดี"


def test_where_normalizing_changes_the_number_of_words_the_words_are_quoted():
    assert excerpt("½ cup of Milk", 2, 5) == "cup of milk"  # ½ becomes 1⁄2
    assert excerpt("x '-'5 Y Z", 3, 5) == "y z"


def test_a_span_is_cut_and_says_where_the_completion_begins():
    example = Example("0", "Who is it?", "It's Ann. " + "word " * 100)
    whole = shared_span(example, Match(1.0, 0, count_words(example.prompt) + 102))
    assert whole.startswith("Who is it → It's Ann. word word")
    assert whole.endswith(" word word…"), "after a word"
    assert 110 < len(whole) <= 120
    assert shared_span(example, Match(1.0, 3, 5)) == "It's Ann"
    assert shared_span(example, Match(1.0, 1, 3)) == "is it"


def test_a_span_of_words_of_one_character_is_said_to_be_cut():
    example = Example("0", "", "一" * 200)
    words = count_words(example.completion)
    assert words == 200
    assert shared_span(example, Match(1.0, 0, words)) == "一" * 119 + "…"
    assert shared_span(example, Match(1.0, 0, 120)) == "一" * 120


def test_a_span_finds_the_completion_after_a_prompt_without_words():
    example = Example("0", "???", "the answer is here")
    assert shared_span(example, Match(1.0, 3, 5)) == "the answer"
