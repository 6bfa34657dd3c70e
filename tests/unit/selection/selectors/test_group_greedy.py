"""Greedy by group influence: every pick against an exhaustive search over the next one."""

import numpy as np
import pytest

from airrep.errors import ArgumentError
from selection.scores import DenseScores
from selection.selectors import GroupGreedy
from selection.weights import target_weights

SCALES = (0.5, 1.0, 5.0, 20.0)
RESOLUTION = 1e-12  # of a difference of two influences in float64


@pytest.fixture(scope="session")
def gains_of_all(influence):
    """F(S + j) - F(S) of every row j that is free, from scratch; -inf for the others."""

    def compute(scores, group, taken, scale, weights):
        before = weights @ influence(scores, group, scale)
        gains = np.full(scores.shape[1], -np.inf)
        for row in np.setdiff1d(np.arange(scores.shape[1]), taken):
            gains[row] = weights @ influence(scores, [*group, row], scale) - before
        return gains

    return compute


def _greedy(scores, k, *, layered, scale, weights=None):
    matrix = DenseScores(scores)
    return GroupGreedy(layered=layered, scale=scale).select(matrix, k, weights=weights)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", SCALES)
def test_every_pick_of_plain_greedy_is_the_best_next_row(normal_scores, gains_of_all, scale, seed):
    scores = normal_scores(seed=seed)
    weights = None if seed % 2 else [1, 2, 0.5, 0.25, 4]
    share = target_weights(weights, 5)
    chosen = _greedy(scores, 30, layered=False, scale=scale, weights=weights)
    picks = chosen.indices.tolist()
    clear = 0
    for rank, (pick, gain) in enumerate(zip(picks, chosen.gains, strict=True)):
        gains = gains_of_all(scores, picks[:rank], picks[:rank], scale, share)
        assert gain == pytest.approx(gains[pick], abs=RESOLUTION)
        if gains.max() - np.partition(gains, -2)[-2] > RESOLUTION:
            assert pick == gains.argmax()
            clear += 1
        assert gains[pick] >= gains.max() - RESOLUTION
    assert clear > 10
    assert not chosen.layers.any()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", SCALES)
def test_layers_close_exactly_when_no_row_gains_and_are_greedy_groups_of_what_is_left(
    normal_scores, gains_of_all, scale, seed
):
    """On the whole pool, so that the last layers are made of what nobody wanted."""
    scores = normal_scores(seed=seed)
    weights = None if seed % 2 else [1, 2, 0.5, 0.25, 4]
    share = target_weights(weights, 5)
    chosen = _greedy(scores, 40, layered=True, scale=scale, weights=weights)
    picks, layers = chosen.indices.tolist(), chosen.layers.tolist()
    group, layer = [], 0
    for rank, pick in enumerate(picks):
        taken = picks[:rank]
        gains = gains_of_all(scores, group, taken, scale, share)
        if group and gains.max() <= RESOLUTION * np.abs(scores).max():
            group, layer = [], layer + 1
            gains = gains_of_all(scores, group, taken, scale, share)
        assert layers[rank] == layer
        assert pick == gains.argmax()
        assert chosen.gains[rank] == pytest.approx(gains[pick], abs=RESOLUTION)
        group.append(pick)
    assert layer > 1


@pytest.mark.parametrize("scale", SCALES)
def test_a_layer_is_the_plain_greedy_group_of_the_rows_left(normal_scores, scale):
    scores = normal_scores(seed=7)
    chosen = _greedy(scores, 40, layered=True, scale=scale)
    left = np.arange(40)
    for layer in range(chosen.layers[-1] + 1):
        members = chosen.indices[chosen.layers == layer]
        plain = _greedy(scores[:, left], len(members), layered=False, scale=scale)
        np.testing.assert_array_equal(left[plain.indices], members)
        left = np.setdiff1d(left, members)
    assert not left.size


def test_within_a_layer_all_gains_but_the_first_are_positive(normal_scores):
    chosen = _greedy(normal_scores(), 40, layered=True, scale=5.0)
    opens = np.diff(chosen.layers, prepend=-1) > 0
    assert (chosen.gains[~opens] > 0).all()


@pytest.mark.parametrize("layered", [True, False])
def test_the_pick_is_credited_to_the_target_it_moved_most(normal_scores, influence, layered):
    scores = normal_scores(seed=3)
    weights = np.array([1, 2, 0.5, 0.25, 4])
    chosen = _greedy(scores, 25, layered=layered, scale=5.0, weights=weights)
    for rank in range(25):
        same = np.flatnonzero(chosen.layers[:rank] == chosen.layers[rank])
        group = chosen.indices[same].tolist()
        grown = influence(scores, [*group, chosen.indices[rank]], 5.0)
        moved = weights * (grown - influence(scores, group, 5.0))
        assert chosen.targets[rank] == moved.argmax()


def test_the_scale_is_the_scores_own_unless_given(normal_scores):
    matrix = DenseScores(normal_scores(), scale=20.0)
    own, given, other = (GroupGreedy(scale=s).select(matrix, 20) for s in (None, 20.0, 0.5))
    np.testing.assert_array_equal(own.indices, given.indices)
    assert (own.indices != other.indices).any()


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_a_scale_that_pools_nothing_is_refused(scale):
    with pytest.raises(ArgumentError, match="scale"):
        GroupGreedy(scale=scale)


def test_one_targets_best_set_is_its_best_row_so_layers_go_down_its_ranking(normal_scores):
    """Adding a lower score to a weighted mean never helps: every layer is one row."""
    scores = np.abs(normal_scores(targets=1))
    chosen = _greedy(scores, 40, layered=True, scale=5.0)
    np.testing.assert_array_equal(chosen.indices, np.argsort(-scores[0]))
    np.testing.assert_array_equal(chosen.layers, np.arange(40))


def test_one_rows_pool():
    chosen = _greedy(np.array([[-2.0], [1.0]], dtype=np.float32), 1, layered=True, scale=5.0)
    assert (chosen.indices.tolist(), chosen.gains.tolist()) == ([0], [-0.5])


@pytest.mark.parametrize("layered", [True, False])
def test_rows_without_any_score_are_taken_in_order(layered):
    chosen = _greedy(np.zeros((3, 6), dtype=np.float32), 6, layered=layered, scale=5.0)
    np.testing.assert_array_equal(chosen.indices, np.arange(6))
    assert not chosen.gains.any()


@pytest.mark.parametrize("layered", [True, False])
def test_of_duplicate_rows_the_first_is_picked_first(normal_scores, layered):
    scores = np.repeat(normal_scores(pool=10), 3, axis=1)
    chosen = _greedy(scores, 30, layered=layered, scale=5.0)
    rank = np.argsort(chosen.indices)
    assert (np.diff(rank.reshape(10, 3), axis=1) > 0).all()


def test_a_copy_of_a_picked_row_waits_for_the_next_layer_where_others_help():
    """Two targets, a row and its copy for each: a layer serves both targets once."""
    scores = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]], dtype=np.float32)
    chosen = _greedy(scores, 4, layered=True, scale=20.0)
    assert [set(layer) for layer in chosen.indices.reshape(2, 2).tolist()] == [{0, 2}, {1, 3}]
    np.testing.assert_array_equal(chosen.layers, [0, 0, 1, 1])
