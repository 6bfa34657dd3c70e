"""Which texts count as the same words, and how passages are quoted."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airrep.records import Example
from curate.guard.likeness import Match
from curate.guard.spans import shared_span
from curate.guard.words import count_words, excerpt, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's HERE,\n\tnow!", ["it's", "here", "now"]),
        ("don’t stop", ["don't", "stop"]),
        ("snake_case", ["snake", "_", "case"]),
        ("ﬁne １２", ["fine", "12"]),  # a ligature and full-width digits
        ("Straße", ["straße"]),
        ("ไทย", list("ไทย")),
        ("漢字 kanji かな", ["漢", "字", "kanji", "か", "な"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("👍🏽 great 👍", ["👍", "🏽", "great", "👍"]),
        ("", []),
        ("  \n", []),
    ],
)
def test_words_are_what_is_left_of_case_punctuation_and_layout(text, expected):
    assert words(text) == expected


def test_composed_and_decomposed_letters_are_the_same_words():
    text = "Café Ångström naïveté"
    assert words(unicodedata.normalize("NFD", text)) == words(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("a < b", "a > b"), ("a != b", "a = b"), ("C++", "C"), ("3.14", "31.4"), ("-5", "5"),
        ("5!", "5"), ("5²", "52"), ("1½", "11⁄2"), ("( [ ] )", "( [ ) ]"), ("f(a, b)", "f(a b)"),
        ("a.b", "a b"), ("((((", "((((("), ("well-known", "well known"), ("it's", "its"),
        ("दिन", "दान"), ("كَتَبَ", "كُتِبَ"), ("ไป", "ไปี"), ("がく", "かく"), ("Maße", "Masse"),
        ("schön", "schon"), ("x_1", "x1"), ("👍", "👎"), ("no: $5", "no: €5"),
    ],
)  # fmt: skip
def test_what_changes_the_content_counts(text, other):
    assert words(f"so {text} then") != words(f"so {other} then")
    assert words(text) != words(other)


@pytest.mark.parametrize(
    "again",
    ["He said: “Go home”", 'HE SAID "GO HOME".', 'he  said ,\n"go home".', 'he said; "go home"...'],
)
def test_case_layout_and_sentence_punctuation_do_not_count(again):
    assert words(again) == words('He said, "Go home."')


@pytest.mark.parametrize(
    ("text", "again"),
    [("我去学校。你呢？", "我去学校，你呢"), ("वह घर गया। फिर सोया।", "वह घर गया, फिर सोया")],
)
def test_sentence_punctuation_of_other_scripts_does_not_count(text, again):
    assert words(text) == words(again)


def test_long_runs_without_spaces_are_compared_by_characters():
    base64 = "TWFuIGlzIGRpc3Rpbmd1aXNoZWQsIG5vdCBvbmx5IGJ5IGhpcyByZWFzb24"
    assert words(base64) == list(base64.lower())
    assert count_words("x" * 40) == 1
    assert excerpt(base64, 3, 6) == "uIG"


def test_a_text_without_words_is_its_characters():
    assert words("👍") != words("👎")
    assert words("?? !") == ["?", "?", "!"]


@given(st.text())
@example("AA:²")
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
    assert excerpt("½ cup of Milk", 3, 6) == "cup of milk"  # ½ becomes 1⁄2


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
