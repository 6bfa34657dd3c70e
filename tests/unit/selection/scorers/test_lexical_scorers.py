"""TF-IDF and BM25, against the formulas written out."""

import math
import re
from collections import Counter

import numpy as np
import pytest

from airrep.errors import ArgumentError
from airrep.records import Example
from selection.scorers import Bm25Scorer, TfidfScorer

TEXTS = [
    "the cat sat on the mat",
    "a dog chased the cat, and the cat ran",
    "stock prices fell sharply on Monday",
    "the the the the",
    "Ünïcödé words: Straße, 42 and naïve",
    "?!",
    "a",
]
QUERIES = ["the cat", "prices on monday monday", "zebra", "a naïve dog"]


def _plain(texts):
    return [Example(str(i), "", text) for i, text in enumerate(texts)]


def _words(text):
    return re.findall(r"\w+", text.casefold())


def _tfidf(queries, pool):
    """Cosines of (1 + log tf) · (1 + log((1 + n) / (1 + df))), over the pool's words."""
    rows = [Counter(_words(text)) for text in pool]
    frequency = Counter(word for row in rows for word in row)

    def vector(counts):
        weights = {
            word: (1 + math.log(count)) * (1 + math.log((1 + len(pool)) / (1 + frequency[word])))
            for word, count in counts.items()
            if word in frequency
        }
        norm = math.sqrt(sum(w * w for w in weights.values())) or 1.0
        return {word: w / norm for word, w in weights.items()}

    vectors = [vector(row) for row in rows]
    found = [vector(Counter(_words(query))) for query in queries]
    return np.array([[sum(w * v.get(t, 0) for t, w in q.items()) for v in vectors] for q in found])


def _bm25(queries, pool, k1=1.5, b=0.75):
    """Lucene's BM25: Σ idf · tf / (tf + k1 (1 - b + b · length / mean length))."""
    rows = [_words(text) for text in pool]
    mean = sum(map(len, rows)) / len(rows)
    scores = np.zeros((len(queries), len(pool)))
    for x, query in enumerate(queries):
        for word in _words(query):
            df = sum(word in row for row in rows)
            idf = math.log(1 + (len(rows) - df + 0.5) / (df + 0.5))
            for j, row in enumerate(rows):
                tf = row.count(word)
                scores[x, j] += idf * tf / (tf + k1 * (1 - b + b * len(row) / mean))
    return scores


some_flat = pytest.mark.filterwarnings("ignore:.*every pool row has the same score")


@some_flat
def test_tfidf_equals_the_formula():
    matrix = TfidfScorer().score(_plain(QUERIES), _plain(TEXTS))
    np.testing.assert_allclose(matrix.values(), _tfidf(QUERIES, TEXTS), rtol=1e-5, atol=1e-6)


@some_flat
def test_bm25_equals_the_formula_divided_by_each_querys_best():
    scores = _bm25(QUERIES, TEXTS)
    best = scores.max(axis=1, keepdims=True)
    expected = np.divide(scores, best, out=np.zeros_like(scores), where=best > 0)
    matrix = Bm25Scorer().score(_plain(QUERIES), _plain(TEXTS))
    np.testing.assert_allclose(matrix.values(), expected, rtol=1e-5, atol=1e-6)


both = pytest.mark.parametrize("scorer", [TfidfScorer(), Bm25Scorer()], ids=["tfidf", "bm25"])


@both
def test_the_row_that_shares_the_targets_words_comes_first(scorer):
    matrix = scorer.score(_plain(["Monday's stock prices"]), _plain(TEXTS))
    assert matrix.values()[0].argmax() == 2
    assert (np.delete(matrix.values()[0], 2) < matrix.values()[0, 2]).all()


@both
def test_targets_without_a_known_word_score_nothing(scorer):
    with pytest.warns(UserWarning, match="for 2 of 3 targets every pool row has the same score"):
        values = scorer.score(_plain(["zebra", "?!", "cat"]), _plain(TEXTS)).values()
    assert not values[:2].any()


@both
def test_a_pool_without_words_is_refused(scorer):
    with pytest.raises(ArgumentError, match=rf"{scorer.name}: the pool holds no words"):
        scorer.score(_plain(QUERIES), _plain(["?!", "..."]))


@both
def test_prompt_and_completion_are_compared_without_the_templates_words(scorer):
    pool = [Example("a", "red apples", "are fruit"), Example("b", "blue whales", "are mammals")]
    values = scorer.score([Example("t", "question", "whales"), Example("u", "", "fruit")], pool)
    assert values.values().argmax(axis=1).tolist() == [1, 0]
    with pytest.raises(ArgumentError, match="no word tells one row from another"):
        scorer.score([Example("t", "question", "answer")], pool)


@both
@pytest.mark.parametrize(
    ("food", "weather", "target"),
    [
        ("请介绍红烧肉的做法", "北京今天的天气怎么样", "明天的天气会不会下雨"),
        ("味噌汁の作り方", "明日の天気は雨です", "東京の天気を教えて"),
        ("แกงเขียวหวานใส่ไก่", "วันนี้อากาศร้อนมาก", "พยากรณ์อากาศ"),
        ("ແກງໄກ່", "ອາກາດຮ້ອນ", "ພະຍາກອນອາກາດ"),
        ("សម្លកកូរ", "អាកាសធាតុក្តៅ", "ព្យាករណ៍អាកាសធាតុ"),
        ("ကြက်သားဟင်း", "ရာသီဥတုပူ", "ရာသီဥတုခန့်မှန်း"),
        ("दाल कैसे पकाएँ", "मौसम की जानकारी", "कल का मौसम"),
        ("وصفة الأرز", "الطقس اليوم", "كيف الطقس"),
        ("🍕🍝", "🌧☀", "🌧 ?"),
        ("b", "c", "c"),  # a choice
    ],
    ids=["zh", "ja", "th", "lo", "km", "my", "hi", "ar", "emoji", "letters"],
)
def test_rows_are_told_apart_in_any_script(scorer, food, weather, target):
    pool = [Example("food", food, ""), Example("weather", weather, "")]
    ((one, other),) = scorer.score([Example("t", target, "")], pool).values()
    assert other > one


@both
def test_ids_name_and_scale_come_along(scorer):
    pool = [Example(f"row {i}", "", text) for i, text in enumerate(TEXTS)]
    matrix = scorer.score([Example("t", "", "cat")], pool)
    assert matrix.pool_ids == [f"row {i}" for i in range(len(TEXTS))]
    assert (matrix.target_ids, matrix.method) == (["t"], scorer.name)
    assert matrix.scale == 5.0


@both
@some_flat
def test_copies_of_a_row_score_exactly_the_same(scorer):
    values = scorer.score(_plain(QUERIES), _plain(TEXTS * 40)).values()
    copies = values.reshape(len(QUERIES), 40, len(TEXTS))
    np.testing.assert_array_equal(copies, np.broadcast_to(copies[:, :1], copies.shape))
