"""One pass over the scores finds what a look at the whole matrix finds."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from selection import scores as scores_module
from selection.overview import overview
from selection.score_counts import BINS, ScoreCounter
from selection.scores import DenseScores, EmbeddingScores

# Few different values, so that many tie.
SCORES = st.tuples(st.integers(1, 4), st.integers(1, 40)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.integers(-6, 6).map(lambda i: i / 4))
)


@pytest.fixture(autouse=True)
def many_blocks(monkeypatch):
    monkeypatch.setattr(scores_module, "BLOCK", 7)


def _chosen(values, draw):
    pool = values.shape[1]
    return np.array(draw(st.permutations(range(pool)))[: draw(st.integers(1, pool))])


def _first(values, rows, n, sign):
    """The n rows of the largest sign · score, of equal ones the first."""
    return sorted(rows, key=lambda row: (-sign * values[row], row))[:n]


@given(st.data(), SCORES)
@settings(deadline=None)
def test_it_is_what_the_whole_matrix_says(data, values):
    chosen = _chosen(values, data.draw)
    seen = overview(DenseScores(values), chosen, kept=5)
    left = sorted(set(range(values.shape[1])) - set(chosen.tolist()))
    np.testing.assert_array_equal(seen.chosen, values[:, chosen].T)
    np.testing.assert_array_equal(seen.top_scores, values.max(axis=0))
    np.testing.assert_array_equal(seen.top_targets, values.argmax(axis=0))
    for x, line in enumerate(values):
        for found, sign in ((seen.best_left, 1), (seen.worst_left, -1)):
            assert found.rows[x].tolist() == _first(line, left, 5, sign)
            np.testing.assert_array_equal(found.scores[x], line[found.rows[x]])


@given(SCORES)
@settings(deadline=None)
def test_every_score_is_counted_once_in_its_bin(values):
    found = overview(DenseScores(values), np.array([0])).distribution
    assert found.counts.shape == (len(values), len(found.edges) - 1)
    assert found.counts.shape[1] <= BINS
    for counts, line in zip(found.counts, values, strict=True):
        np.testing.assert_array_equal(counts, np.histogram(line, found.edges)[0])


@given(
    arrays(np.float32, (3, 30), elements=st.floats(-(2.0**99), 2.0**99, width=32)),
    st.integers(1, 29),
)
@settings(deadline=None, max_examples=300)
@example(np.eye(3, 30, dtype=np.float32) * np.float32(6e-35), 1)
@example(np.eye(3, 30, k=9, dtype=np.float32) * np.float32(-3e38), 9)
def test_counts_do_not_depend_on_how_the_scores_come_in_blocks(values, cut):
    if np.ptp(values) < 1e-6 * np.abs(values).max():
        return  # all in one bin, however fine
    parts = ([values], [values[:, :cut], values[:, cut:]], np.split(values, 30, axis=1))
    results = []
    for blocks in parts:
        counter = ScoreCounter(3)
        for block in blocks:
            counter.add(block)
        results.append(counter.result())
    trimmed = [
        [(edge, count) for edge, count in zip(r.edges, r.counts.sum(axis=0), strict=False) if count]
        for r in results
    ]
    assert trimmed[0] == trimmed[1] == trimmed[2]
    assert all(r.counts.sum() == values.size for r in results)


def test_quantiles_and_shares_are_right_to_within_a_bin():
    values = np.random.default_rng(0).normal(size=(3, 5000)).astype(np.float32)
    values[1] *= 0.2
    found = overview(DenseScores(values), np.array([0])).distribution
    width = found.edges[1] - found.edges[0]
    for x, line in enumerate(values):
        shares = np.array([0, 0.05, 0.5, 0.95, 1])
        np.testing.assert_allclose(
            found.quantiles(x, shares), np.quantile(line, shares), atol=1.01 * width
        )
        for score in (-9.0, -0.3, 0.0, 0.2, 9.0):
            below = (line < score - width).mean(), (line < score + width).mean()
            assert below[0] <= found.share_below(x, score) <= (line < score).mean() <= below[1]
            above = (line > score + width).mean(), (line > score).mean()
            assert above[0] <= found.share_above(x, score) <= above[1]


def test_scores_that_are_all_the_same_have_one_bin():
    for value in (0.0, 0.7, -3e8):
        seen = overview(DenseScores(np.full((2, 9), value)), np.arange(9))
        assert seen.distribution.counts.tolist() == [[9], [9]]
        assert seen.best_left.rows.shape == (2, 0), "all were chosen"
        assert abs(seen.distribution.quantiles(0, [0.5])[0] - value) <= 1e-6 * abs(value) + 1e-6


def test_embedding_scores_give_the_same_as_the_matrix_they_make():
    rng = np.random.default_rng(1)
    embedded = EmbeddingScores(rng.normal(size=(3, 8)), rng.normal(size=(50, 8)))
    chosen = rng.permutation(50)[:20]
    block = overview(embedded, chosen)
    whole = overview(DenseScores(embedded.values()), chosen)
    np.testing.assert_array_equal(block.best_left.rows, whole.best_left.rows)
    np.testing.assert_array_equal(block.distribution.counts, whole.distribution.counts)
