"""Scores that tell no row from another."""

from __future__ import annotations

import numpy as np
import pytest

from airrep.errors import ArgumentError
from airrep.records import Example
from selection.scorers import Bm25Scorer, EmbeddingScorer, TfidfScorer
from selection.scorers.flat_scores import check_flat
from selection.scores import DenseScores

POOL = [Example(str(i), f"question {i}", f"answer {i}") for i in range(3)]


def check(values, pool=None):
    scores = DenseScores(values, method="mine")
    pool = pool or [Example(str(i), "", str(i)) for i in range(scores.shape[1])]
    return check_flat(scores, pool, "it is so", "Mend it.")


@pytest.mark.parametrize("value", [0.0, 1.0, -0.3])
def test_when_no_target_tells_rows_apart_it_is_an_error(value):
    with pytest.raises(ArgumentError, match=r"mine: for all 2 targets, .* 3 pool rows .* so. Mend"):
        check(np.full((2, 3), value) + np.array([[1], [2]]))
    with pytest.raises(ArgumentError, match="mine: for the target, every"):
        check(np.full((1, 3), value))


def test_when_one_does_not_a_warning_names_it():
    with pytest.warns(UserWarning, match=r"for 1 of 2 targets every pool row .*\('?\"?1"):
        check([[1, 2, 3], [4, 4, 4]])
    with pytest.warns(UserWarning, match=r"for 7 of 8 targets .* and 2 more\)"):
        check([[1, 2, 3]] + [[1, 1, 1]] * 7)


def test_what_differs_anywhere_is_told_apart():
    values = np.zeros((2, 20_000), dtype=np.float32)
    values[0, 600] = values[1, -1] = 1e-3
    assert check(values).shape == values.shape
    values[1, -1] = 0
    with pytest.warns(UserWarning, match="1 of 2"):
        check(values)


def test_rows_that_are_alike_may_score_alike():
    assert check([[1, 1, 1]], [Example(str(i), "same", "text") for i in range(3)])
    assert check([[1]])


@pytest.mark.parametrize("scorer", [TfidfScorer(), Bm25Scorer()], ids=["tfidf", "bm25"])
def test_words_of_another_language_are_an_error(scorer):
    targets = [Example("t", "天气", "好")]
    with pytest.raises(ArgumentError, match=f"{scorer.name}: for the target, .*no word tells"):
        scorer.score(targets, POOL)
    copies = [Example(str(i), "the same", "text") for i in range(3)]
    assert not np.ptp(scorer.score(targets, copies).values())


def test_embeddings_that_are_all_alike_are_an_error():
    class Constant:
        name = "a constant"

        def encode(self, texts):
            return np.ones((len(texts), 2))

    with pytest.raises(ArgumentError, match=r'airrep: .* a constant tells none .*scorer="tfidf"'):
        EmbeddingScorer(Constant()).score(POOL[:2], POOL)
