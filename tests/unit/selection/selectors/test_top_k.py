"""Top-k by mean and by largest score, against numpy."""

import numpy as np
import pytest

from airrep.errors import ArgumentError
from selection.scores import DenseScores
from selection.selectors import TopK

WEIGHTS = np.array([1, 2, 0.5, 0.25, 4])


def _select(over, scores, k, weights=None):
    return TopK(over).select(DenseScores(scores), k, weights=weights)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_mean_is_the_ranking_by_weighted_mean(normal_scores, weights):
    scores = normal_scores()
    mean = np.average(scores.astype(np.float64), axis=0, weights=weights)
    chosen = _select("mean", scores, 40, weights)
    np.testing.assert_array_equal(chosen.indices, np.argsort(-mean, kind="stable"))
    np.testing.assert_allclose(chosen.gains, np.sort(mean)[::-1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_max_is_the_ranking_by_largest_weighted_score(normal_scores, weights):
    scores = normal_scores()
    factor = np.ones(5) if weights is None else weights / weights.max()
    largest = (scores * factor[:, None]).max(axis=0)
    chosen = _select("max", scores, 40, weights)
    np.testing.assert_array_equal(chosen.indices, np.argsort(-largest, kind="stable"))
    np.testing.assert_allclose(chosen.gains, np.sort(largest)[::-1], rtol=1e-6)


@pytest.mark.parametrize("over", ["mean", "max"])
def test_ties_go_by_position(over):
    scores = np.random.default_rng(0).integers(0, 3, (2, 500)).astype(np.float32)
    pooled = scores.mean(axis=0) if over == "mean" else scores.max(axis=0)
    expected = np.argsort(-pooled, kind="stable")
    np.testing.assert_array_equal(_select(over, scores, 500).indices, expected)


def test_without_weights_max_gains_are_the_scores_themselves(normal_scores):
    scores = normal_scores()
    chosen = _select("max", scores, 10)
    np.testing.assert_array_equal(chosen.gains, chosen.scores)


@pytest.mark.parametrize("over", ["mean", "max"])
def test_the_row_is_credited_to_the_target_that_pushed_it_most(normal_scores, over):
    scores = normal_scores()
    chosen = _select(over, scores, 40, WEIGHTS)
    weighted = scores * WEIGHTS[:, None]
    np.testing.assert_array_equal(chosen.targets, weighted.argmax(axis=0)[chosen.indices])


def test_another_way_of_pooling_is_refused():
    with pytest.raises(ArgumentError, match="choose mean or max"):
        TopK("median")
