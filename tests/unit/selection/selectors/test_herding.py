"""Herding, against a search that tries every row."""

import re

import numpy as np
import pytest

from airrep.errors import ArgumentError, EmbeddingError
from selection.constraints import BoundConstraints, Constraints
from selection.scorers import (
    AdamGradientScorer,
    Bm25Scorer,
    EmbeddingScorer,
    RandomScorer,
    ScoreAverage,
    TfidfScorer,
)
from selection.scores import BLOCK, DenseScores, EmbeddingScores
from selection.selectors import check_selector, default_selector, herding, make_selector
from selection.weights import target_weights


def _embeddings(rows, targets=6, dim=8, seed=0, unit=False):
    rng = np.random.default_rng(seed)
    wanted = rng.normal(size=(targets, dim)) + rng.normal(size=dim)
    pool = rng.normal(size=(rows, dim))
    if unit:
        wanted, pool = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (wanted, pool))
    return wanted.astype(np.float32), pool.astype(np.float32)


def _searched(wanted, pool, k, weights=None, shut=()):
    """Each pick makes the squared distance of the means the smallest that it can be."""
    mean = target_weights(weights, len(wanted)) @ wanted.astype(np.float64)
    rows, left, chosen = pool.astype(np.float64), set(range(len(pool))) - set(shut), []
    for _ in range(k):

        def distance(row):
            return np.square(mean - rows[[*chosen, row]].mean(axis=0)).sum()

        chosen.append(min(sorted(left), key=distance))
        left.discard(chosen[-1])
    return chosen


def _selected(wanted, pool, k, **given):
    return make_selector("herding").select(EmbeddingScores(wanted, pool), k, **given)


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("weights", [None, [1, 0, 2, 0.5, 3, 1]])
def test_every_pick_brings_the_means_closest(unit, weights):
    wanted, pool = _embeddings(60, unit=unit)
    chosen = _selected(wanted, pool, 25, weights=weights)
    assert chosen.indices.tolist() == _searched(wanted, pool, 25, weights)


@pytest.mark.parametrize("weights", [None, [1, 0, 2, 0.5, 3, 1]])
def test_a_gain_is_what_the_distance_loses(weights):
    wanted, pool = _embeddings(60)
    chosen = _selected(wanted, pool, 60, weights=weights)
    mean = target_weights(weights, len(wanted)) @ wanted.astype(np.float64)
    rows = pool[chosen.indices].astype(np.float64)
    means = rows.cumsum(axis=0) / np.arange(1, 61)[:, None]
    distances = np.square(np.vstack([np.zeros_like(mean), means]) - mean).sum(axis=1)
    np.testing.assert_allclose(chosen.objective.start, distances[0], rtol=1e-12)
    np.testing.assert_allclose(chosen.objective.values, distances[1:], rtol=1e-10)
    np.testing.assert_allclose(chosen.gains, -np.diff(distances), rtol=1e-9, atol=1e-13)
    assert (chosen.gains < 0).any(), "no pick moves the mean away: the case shows too little"
    assert chosen.best_size == np.argmin(distances[1:]) + 1


def test_it_balances_what_ranking_by_score_does_not():
    """Two kinds of targets, 3 to 1; rows of the first kind have the larger mean scores."""
    wanted = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], dtype=np.float32)
    pool = np.repeat(np.eye(2, dtype=np.float32), 50, axis=0)
    herded = _selected(wanted, pool, 40).indices
    assert (herded < 50).sum() == 30
    ranked = make_selector("top_k_mean").select(EmbeddingScores(wanted, pool), 40)
    assert (ranked.indices < 50).sum() == 40


@pytest.mark.parametrize("unit", [False, True])
def test_a_pool_that_is_read_in_parts_gives_the_same_rows(monkeypatch, unit):
    wanted, pool = _embeddings(3 * BLOCK + 100, unit=unit, dim=16)
    whole = _selected(wanted, pool, 120)
    readings = []
    read = herding._Front._read
    monkeypatch.setattr(herding, "_MEMORY", 100 * 8 * 16)
    monkeypatch.setattr(herding._Front, "_read", lambda *given: readings.append(1) or read(*given))
    few = _selected(wanted, pool, 120)
    assert few.indices.tolist() == whole.indices.tolist()
    np.testing.assert_allclose(few.gains, whole.gains, rtol=1e-6)
    assert 1 < len(readings) < 120


def test_candidates_that_constraints_close_make_it_read_again(monkeypatch):
    wanted, pool = _embeddings(400)
    monkeypatch.setattr(herding, "_MEMORY", 1)
    sources = ["a" if row @ wanted.mean(axis=0) > 0 else "b" for row in pool]
    bound = BoundConstraints.bind(
        Constraints(max_per_source={"a": 3}), [str(i) for i in range(400)], sources
    )
    few = _selected(wanted, pool, 30, constraints=bound)
    monkeypatch.undo()
    whole = _selected(wanted, pool, 30, constraints=bound)
    assert few.indices.tolist() == whole.indices.tolist()
    assert [sources[i] for i in whole.indices].count("a") == 3


def test_excluded_rows_are_as_if_they_were_not_there():
    wanted, pool = _embeddings(50)
    bound = BoundConstraints.bind(
        Constraints(exclude=[3, 17, 18]), [str(i) for i in range(50)], [""] * 50
    )
    chosen = _selected(wanted, pool, 20, constraints=bound)
    assert chosen.indices.tolist() == _searched(wanted, pool, 20, shut=(3, 17, 18))


def test_rows_of_scores_that_were_cut_to_some_columns_are_still_compared():
    wanted, pool = _embeddings(2 * BLOCK + 7)
    rows = np.sort(np.random.default_rng(0).choice(len(pool), 300, replace=False))
    part = EmbeddingScores(wanted, pool).columns(rows)
    chosen = make_selector("herding").select(part, 20)
    assert chosen.indices.tolist() == _selected(wanted, pool[rows], 20).indices.tolist()


def test_scores_without_embeddings():
    scores = DenseScores(np.ones((2, 5)), method="tfidf")
    with pytest.raises(ArgumentError, match="scores by 'tfidf' have none; choose layered_greedy"):
        make_selector("herding").select(scores, 2)


@pytest.mark.parametrize(
    "scorer", [TfidfScorer(), Bm25Scorer(), RandomScorer(), AdamGradientScorer,
               ScoreAverage([TfidfScorer(), Bm25Scorer()])],
)  # fmt: skip
def test_scorers_that_give_none_say_so_before_they_score(scorer):
    with pytest.raises(ArgumentError, match=f"'{re.escape(str(scorer.name))}' have none; choose"):
        check_selector(make_selector("herding"), scorer)
    check_selector(make_selector("layered_greedy"), scorer)
    check_selector(make_selector("herding"), object())  # who knows


def test_a_broken_embedding_is_named():
    wanted, pool = _embeddings(30)
    pool[11, 2] = np.nan
    with pytest.raises(EmbeddingError, match="pool row 11 "):
        _selected(wanted, pool, 3)


def test_the_default_is_herding_for_encoders_unless_a_scale_is_given(encoder):
    class Sentences:
        def encode(self, texts):
            return np.ones((len(texts), 2))

    assert default_selector(EmbeddingScorer(encoder), 100_000) == "herding"
    assert default_selector(EmbeddingScorer(encoder), 100_001) == "layered_greedy"
    assert default_selector(EmbeddingScorer(encoder), 9, 5.0) == "layered_greedy"
    assert default_selector(EmbeddingScorer(Sentences()), 9) == "layered_greedy"
    assert default_selector(None, 9) == "layered_greedy"
