"""Each target's best rows, by numpy and by faiss, and selections made from the shortlist."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from airrep.errors import EmbeddingError
from selection import candidates as candidates_module
from selection import scores as scores_module
from selection.candidates import shortlist, top_rows
from selection.scores import DenseScores, EmbeddingScores
from selection.selectors import SELECTORS, make_selector


def _ranked(values, n):
    """All rows of every target, best first, ties by position, cut after n."""
    return np.argsort(-values, axis=1, kind="stable")[:, :n]


@pytest.fixture
def embeddings():
    rng = np.random.default_rng(0)
    targets = rng.standard_normal((4, 16), dtype=np.float32)
    return targets, rng.standard_normal((300, 16), dtype=np.float32)


@pytest.fixture
def with_faiss(monkeypatch):
    """Search by faiss whatever the size of the pool, in many chunks."""
    monkeypatch.setattr(candidates_module, "_FAISS_ROWS", 1)
    monkeypatch.setattr(candidates_module, "_FAISS_CHUNK", 37)
    monkeypatch.setattr(candidates_module, "_SPARE", 2)


@settings(deadline=None)
@given(
    arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, max_side=20),
        elements=st.integers(-2, 2),  # so that ties abound
    ),
    st.integers(1, 25),
    st.integers(1, 7),
)
def test_the_best_rows_are_those_of_a_full_sort_with_ties_by_position(values, n, width):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores_module, "BLOCK", width)
        rows, scores = top_rows(DenseScores(values), n)
    expected = _ranked(values, n)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(scores, np.take_along_axis(values, expected, axis=1))


def test_more_than_the_pool_has_is_all_of_it(normal_scores):
    values = normal_scores(targets=3, pool=10)
    rows, scores = top_rows(DenseScores(values), 1000)
    assert rows.shape == scores.shape == (3, 10)
    np.testing.assert_array_equal(rows, _ranked(values, 10))


@pytest.mark.parametrize("n", [1, 5, 36, 37, 38, 299, 300, 1000])
def test_faiss_finds_the_same_rows_as_a_full_sort(embeddings, with_faiss, n):
    matrix = EmbeddingScores(*embeddings)
    rows, scores = top_rows(matrix, n)
    expected = _ranked(matrix.values(), n)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(scores, np.take_along_axis(matrix.values(), expected, axis=1))
    assert (rows.dtype, scores.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("n", [1, 7, 20])
def test_faiss_keeps_the_first_of_rows_that_tie_for_the_last_place(embeddings, with_faiss, n):
    targets, pool = embeddings
    copies = np.tile(pool[:6], (50, 1))
    matrix = EmbeddingScores(targets, copies)
    rows, _ = top_rows(matrix, n)
    np.testing.assert_array_equal(rows, _ranked(matrix.values(), n))


def test_faiss_is_what_searches_large_pools_of_embeddings_only(embeddings, with_faiss, monkeypatch):
    monkeypatch.setattr(candidates_module.faiss, "knn", None)
    matrix = EmbeddingScores(*embeddings)
    with pytest.raises(TypeError):
        top_rows(matrix, 5)
    rows, _ = top_rows(DenseScores(matrix.values()), 5)
    monkeypatch.setattr(candidates_module, "_FAISS_ROWS", 301)
    np.testing.assert_array_equal(top_rows(matrix, 5)[0], rows)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_faiss_does_not_pass_over_broken_embeddings(embeddings, with_faiss, broken):
    targets, pool = embeddings
    pool[120, 3] = broken
    with pytest.raises(EmbeddingError, match="pool row 120 "):
        top_rows(EmbeddingScores(targets, pool), 5)


def test_the_shortlist_is_the_union_of_the_targets_best_rows_in_pool_order(normal_scores):
    values = normal_scores()
    rows = shortlist(DenseScores(values), 4)
    assert rows.tolist() == sorted({*_ranked(values, 4).ravel().tolist()})


@pytest.mark.parametrize("name", ["round_robin", "top_k_max"])
@pytest.mark.parametrize("k", [1, 8, 40])
def test_k_rows_per_target_are_all_that_these_need(name, normal_scores, k):
    matrix = DenseScores(np.round(normal_scores(targets=4, pool=100), 1))
    rows = shortlist(matrix, k)
    whole = make_selector(name).select(matrix, k)
    part = make_selector(name).select(matrix.columns(rows), k).relocated(rows)
    np.testing.assert_array_equal(part.indices, whole.indices)
    np.testing.assert_array_equal(part.targets, whole.targets)
    np.testing.assert_array_equal(part.gains, whole.gains)


@pytest.mark.parametrize("name", SELECTORS)
def test_a_selection_from_the_shortlist_points_at_the_right_pool_rows(name, embeddings):
    matrix = EmbeddingScores(*embeddings, pool_ids=[f"row {i}" for i in range(300)])
    rows = shortlist(matrix, 10)
    local = make_selector(name).select(matrix.columns(rows), 10)
    chosen = local.relocated(rows)
    assert chosen.shortlist == len(rows) < 300
    assert chosen.ids == local.ids == [f"row {i}" for i in chosen.indices]
    np.testing.assert_array_equal(chosen.scores, matrix.values()[chosen.targets, chosen.indices])
    assert set(chosen.indices.tolist()) <= set(rows.tolist())


def test_round_robin_by_faiss_is_round_robin(embeddings, monkeypatch):
    matrix = EmbeddingScores(*embeddings)
    usual = make_selector("round_robin").select(matrix, 60)
    monkeypatch.setattr(candidates_module, "_FAISS_ROWS", 1)
    by_faiss = make_selector("round_robin").select(matrix, 60)
    np.testing.assert_array_equal(by_faiss.indices, usual.indices)
    np.testing.assert_array_equal(by_faiss.targets, usual.targets)
