"""Round-robin: the turns, written out."""

from fractions import Fraction

import numpy as np
import pytest

from selection.scores import DenseScores
from selection.selectors import RoundRobin


def _turn_by_turn(scores, k, weights):
    """Turn n of a target is due at n / weight; it takes its best row that is free."""
    turns = sorted(
        (Fraction(n, w), x) for x, w in enumerate(weights) if w for n in range(1, k * max(weights))
    )
    picks = []
    for _, x in turns[:k]:
        ranking = np.argsort(-scores[x], kind="stable")
        picks.append((next(row for row in ranking.tolist() if row not in [p for p, _ in picks]), x))
    return tuple(map(list, zip(*picks, strict=True)))


def _select(scores, k, weights=None):
    return RoundRobin().select(DenseScores(scores), k, weights=weights)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("weights", [None, [1, 1, 1, 1, 1], [2, 1, 1, 0, 4], [5, 3, 6, 1, 1]])
def test_picks_are_those_made_turn_by_turn(normal_scores, weights, seed):
    scores = normal_scores(seed=seed)
    scores = np.round(scores, 1)  # with ties
    chosen = _select(scores, 40, weights)
    picks, turns = _turn_by_turn(scores, 40, weights or [1] * 5)
    assert chosen.indices.tolist() == picks
    assert chosen.targets.tolist() == turns
    np.testing.assert_array_equal(chosen.scores, scores[turns, picks])


def test_equal_weights_take_turns_strictly(normal_scores):
    for weights in (None, [0.1] * 7, [3] * 7):
        chosen = _select(normal_scores(targets=7), 40, weights)
        np.testing.assert_array_equal(chosen.targets, np.arange(40) % 7)


@pytest.mark.parametrize("weights", [[2, 1], [0.2, 0.1], [1e9, 5e8]])
def test_twice_the_weight_is_two_turns_to_one(normal_scores, weights):
    turns = _select(normal_scores(targets=2), 39, weights).targets.reshape(13, 3)
    assert (np.sort(turns, axis=1) == [0, 0, 1]).all()


def test_a_row_that_all_want_is_taken_once():
    scores = np.array([[9, 1, 0, 5], [9, 0, 1, 4]], dtype=np.float32)
    chosen = _select(scores, 4)
    assert chosen.indices.tolist() == [0, 3, 1, 2]
    assert chosen.targets.tolist() == [0, 1, 0, 1]
    assert chosen.scores.tolist() == [9, 4, 1, 1]
