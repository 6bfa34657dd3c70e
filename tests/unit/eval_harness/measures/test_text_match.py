import pytest

from eval_harness.measures.text_match import answer_tokens, exact_match, token_f1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The Eiffel Tower.", "eiffel  tower"),
        ("U.S.", "us"),  # the script deletes punctuation and puts nothing in its place
        ("a well-known fact", "wellknown fact"),
        ("\n42\n", "42"),
        ("¿Dónde está?", "dónde está"),
        ("«Привет», мир!", "привет мир"),
        ("東京。", "東京"),
        ("cafe\u0301", "caf\u00e9"),
        ("A", "a."),
        ("", "  "),
    ],
)
def test_what_matches(one, other):
    assert exact_match(one, other)
    assert exact_match(other, one)
    assert token_f1(one, other) == 1.0


@pytest.mark.parametrize(
    ("one", "other"),
    [("A", "the"), ("A", ""), ("+", "?"), ("an", "a"), ("yes", "no"), ("b a", "a b c")],
)
def test_what_does_not(one, other):
    assert not exact_match(one, other)
    assert token_f1(one, other) < 1.0


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        ("the cat sat", "a cat sat down", 4 / 5),  # cat sat | cat sat down: 2·2/(2+3)
        ("x x y", "x y y", 2 / 3),  # x once, y once: 2·2/6
        ("one two", "three", 0.0),
        ("", "word", 0.0),
        ("东京都", "东京", 4 / 5),  # characters are tokens
        ("b c a", "c b d", 2 * 2 / 5),  # the article a goes: b c | c b d
    ],
)
def test_f1_by_hand(prediction, reference, expected):
    assert token_f1(prediction, reference) == pytest.approx(expected)
    assert token_f1(reference, prediction) == pytest.approx(expected)


def test_words_that_hold_an_article_stay():
    assert answer_tokens("Anthem theory area an") == ["anthem", "theory", "area"]
