"""The random selector: chance, and nothing else."""

import numpy as np

from selection.scores import DenseScores
from selection.selectors import RandomSelector


def _select(k, seed, scores=None, weights=None):
    scores = np.zeros((2, 30), dtype=np.float32) if scores is None else scores
    return RandomSelector(seed).select(DenseScores(scores), k, weights=weights)


def test_the_same_seed_draws_the_same_rows_and_another_seed_others():
    np.testing.assert_array_equal(_select(10, 1).indices, _select(10, 1).indices)
    assert (_select(10, 1).indices != _select(10, 2).indices).any()


def test_scores_have_no_part_in_it(normal_scores):
    drawn = _select(10, 1, normal_scores(targets=2, pool=30))
    np.testing.assert_array_equal(drawn.indices, _select(10, 1).indices)
    assert np.isnan(drawn.gains).all()


def test_every_row_is_drawn_about_as_often_and_at_every_rank():
    draws = np.array([_select(10, seed).indices for seed in range(600)])
    often = np.bincount(draws.ravel(), minlength=30)  # 200 ± 11.5 each
    first = np.bincount(draws[:, 0], minlength=30)  # 20 ± 4.4 each
    assert (np.abs(often - 200) < 5 * 11.5).all()
    assert (np.abs(first - 20) < 5 * 4.4).all()


def test_rows_are_credited_to_the_target_they_help_most(normal_scores):
    scores = normal_scores(targets=4, pool=30)
    drawn = _select(30, 0, scores, weights=[1, 5, 0, 2])
    weighted = scores * np.array([1, 5, -np.inf, 2])[:, None]
    weighted[2] = -np.inf
    np.testing.assert_array_equal(drawn.targets, weighted.argmax(axis=0)[drawn.indices])
