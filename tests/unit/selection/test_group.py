"""Group influence that grows row by row equals group influence from scratch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from airrep.pooling import group_influence
from selection import group as group_module
from selection.group import GroupInfluence
from selection.weights import target_weights

SCALES = (0.01, 0.5, 5.0, 20.0, 1000.0)
FLOAT32_GAINS = 2.0**-18  # relative to the largest score, as `selection.group` states

matrices = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=7),
    elements=st.floats(-3, 3, width=32),
)
several = settings(max_examples=60, deadline=None)


def _grown(scores, rows, scale, weights=None, threads=1):
    """A group of those rows; the caller may go on with it."""
    weights = target_weights(weights, len(scores))
    group = GroupInfluence(scores, weights, scale, threads)
    for row in rows:
        group.add(int(row))
    return group


@st.composite
def groups(draw):
    """Scores, some of their rows in some order, and a scale."""
    scores = draw(matrices)
    order = draw(st.permutations(range(scores.shape[1])))
    size = draw(st.integers(0, scores.shape[1]))
    return scores, order[:size], draw(st.sampled_from(SCALES))


@several
@given(groups())
def test_any_sequence_of_adds_equals_the_formula(influence, case):
    scores, rows, scale = case
    with _grown(scores, [], scale) as group:
        for size, row in enumerate(rows, 1):
            group.add(row)
            expected = influence(scores, rows[:size], scale)
            np.testing.assert_allclose(group.values, expected, rtol=1e-10, atol=1e-12)
            assert group.size == size


@several
@given(groups())
def test_parity_with_the_formula_in_torch(case):
    scores, rows, scale = case
    with _grown(scores, rows, scale) as group:
        expected = group_influence(torch.from_numpy(scores[:, rows]).double(), scale=scale)
        np.testing.assert_allclose(group.values, expected.numpy(), rtol=1e-10, atol=1e-12)


@several
@given(groups(), st.integers(0, 2**32 - 1))
def test_gains_are_what_the_influence_grows_by(influence, case, seed):
    scores, rows, scale = case
    weights = target_weights(np.random.default_rng(seed).random(len(scores)) + 0.01, len(scores))
    with _grown(scores, rows, scale, weights) as group:
        gains = group.gains()
        before = weights @ influence(scores, rows, scale)
        for candidate in range(scores.shape[1]):
            if candidate in rows:
                assert gains[candidate] == -np.inf
                continue
            after = weights @ influence(scores, [*rows, candidate], scale)
            tolerance = FLOAT32_GAINS * np.abs(scores).max() + 1e-12
            assert abs(gains[candidate] - (after - before)) <= tolerance


@several
@given(groups())
def test_the_best_gain_is_the_largest_and_exact(influence, case):
    scores, rows, scale = case
    free = [i for i in range(scores.shape[1]) if i not in rows]
    if not free:
        return
    with _grown(scores, rows, scale) as group:
        best, gain = group.best()
        before = influence(scores, rows, scale).mean()
        exact = {i: influence(scores, [*rows, i], scale).mean() - before for i in free}
        assert abs(gain - exact[best]) <= 1e-9
        assert gain >= max(exact.values()) - 1e-9


@several
@given(groups())
def test_an_add_returns_its_gain_split_over_the_targets(influence, case):
    scores, rows, scale = case
    if not rows:
        return
    weights = target_weights(np.arange(1, len(scores) + 1), len(scores))
    *earlier, last = rows
    with _grown(scores, earlier, scale, weights) as group:
        change = group.add(last)
    moved = influence(scores, rows, scale) - influence(scores, earlier, scale)
    np.testing.assert_allclose(change, weights * moved, rtol=1e-9, atol=1e-12)


@several
@given(groups(), st.randoms())
def test_order_does_not_matter(case, random):
    scores, rows, scale = case
    other = list(rows)
    random.shuffle(other)
    with _grown(scores, rows, scale) as group, _grown(scores, other, scale) as shuffled:
        np.testing.assert_allclose(group.values, shuffled.values, rtol=1e-10, atol=1e-12)


@several
@given(groups())
def test_the_whole_group_twice_is_the_group(case):
    scores, rows, scale = case
    twice = np.hstack([scores, scores])
    copies = [row + scores.shape[1] for row in rows]
    with _grown(scores, rows, scale) as once, _grown(twice, [*rows, *copies], scale) as double:
        np.testing.assert_allclose(double.values, once.values, rtol=1e-10, atol=1e-12)


@several
@given(matrices, st.sampled_from(SCALES))
def test_a_single_rows_influence_is_its_score(scores, scale):
    for row in range(scores.shape[1]):
        with _grown(scores, [row], scale) as group:
            np.testing.assert_allclose(group.values, scores[:, row], rtol=1e-12, atol=1e-30)


@several
@given(groups())
def test_influence_lies_between_the_smallest_and_the_largest_score(case):
    scores, rows, scale = case
    if not rows:
        return
    members = scores[:, rows].astype(np.float64)
    with _grown(scores, rows, scale) as group:
        assert (group.values >= members.min(axis=1) - 1e-9).all()
        assert (group.values <= members.max(axis=1) + 1e-9).all()


@several
@given(groups())
def test_a_new_group_is_as_good_as_the_first_but_for_the_rows_taken(case):
    scores, rows, scale = case
    free = [i for i in range(scores.shape[1]) if i not in rows]
    with _grown(scores, rows, scale) as second, _grown(scores, [], scale) as first:
        second.start_group()
        assert second.size == 0
        assert not second.values.any()
        np.testing.assert_array_equal(second.gains()[free], first.gains()[free])
        assert (second.gains()[list(rows)] == -np.inf).all()
        for row in free:
            second.add(row)
            first.add(row)
            np.testing.assert_allclose(second.values, first.values, rtol=1e-10, atol=1e-12)


def test_an_empty_group_has_no_influence_and_gains_are_weighted_scores():
    scores = np.array([[1.0, -2.0], [3.0, 0.5]], dtype=np.float32)
    with _grown(scores, [], 5.0, weights=[3, 1]) as group:
        np.testing.assert_array_equal(group.values, [0.0, 0.0])
        np.testing.assert_allclose(group.gains(), [1.5, -1.375])


# Scores whose logits span hundreds of nats: exp of their difference is no float32, nor always a
# float64. The groups start far below the largest logit and jump up, or the other way round.
JUMPS = np.array(
    [
        [0.001, 0.3, -0.301, 0.005, 0.9, -0.899, 0.0],
        [0.9, 0.899, 0.3, -0.3, 0.001, 0.0, -0.002],
        [0.1, -0.14, 0.18, -0.22, 0.26, -0.3, 0.34],
        [0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 1.0],
    ],
    dtype=np.float32,
)
ORDERS = ([0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0], [3, 0, 4, 1, 6, 2, 5])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("scale", [60.0, 300.0, 1000.0, 1e5])
def test_groups_that_jump_by_hundreds_of_nats_stay_exact(influence, order, scale):
    with _grown(JUMPS, [], scale) as group:
        references = []
        for size in range(len(order)):
            before = influence(JUMPS, order[:size], scale)
            exact = [influence(JUMPS, [*order[:size], i], scale) for i in order[size:]]
            gains = np.array(exact).mean(axis=1) - before.mean()
            np.testing.assert_allclose(group.gains()[order[size:]], gains, atol=FLOAT32_GAINS)
            assert group.best()[1] == pytest.approx(gains.max(), abs=1e-9)
            group.add(order[size])
            np.testing.assert_allclose(group.values, exact[0], rtol=1e-9, atol=1e-12)
            references.append(group._ref.copy())
        moves = np.diff(references, axis=0) != 0
        assert moves.any() or scale == 60.0  # the reference really moved on the way


def test_a_reference_that_never_moves_would_be_found(monkeypatch, influence):
    """The test above can fail: it is the re-basing that keeps such groups exact."""
    monkeypatch.setattr(group_module, "_WINDOW", (-np.inf, np.inf))
    with np.errstate(all="ignore"), _grown(JUMPS, ORDERS[0], 1000.0) as group:
        assert not np.allclose(group.values, influence(JUMPS, ORDERS[0], 1000.0))


@pytest.mark.parametrize("magnitude", [1e-30, 1e6, 1e30])
@pytest.mark.parametrize("logit", [1.0, 1e3, 1e6])
def test_neither_huge_scores_nor_huge_scales_overflow(influence, magnitude, logit):
    """Warnings are errors here, so an overflow on the way would fail, too."""
    scores = (np.random.default_rng(0).standard_normal((40, 30)) * magnitude).astype(np.float32)
    scale = logit / magnitude
    with _grown(scores, [], scale) as group:
        for size in range(12):
            gains = group.gains()
            assert np.isfinite(gains[~np.isneginf(gains)]).all()
            assert np.isneginf(gains).sum() == size
            group.add(group.best()[0])
            assert np.isfinite(group.values).all()
        picks = np.flatnonzero(np.isneginf(group.gains()))
        np.testing.assert_allclose(group.values, influence(scores, picks, scale), rtol=1e-9)


def test_scores_that_are_all_zero_gain_nothing():
    with _grown(np.zeros((3, 4), dtype=np.float32), [], 5.0) as group:
        for expected in range(4):
            assert group.best() == (expected, 0.0)
            group.add(expected)
            assert not group.values.any()


@pytest.mark.parametrize("scale", [0.5, 50.0])
def test_the_number_of_threads_changes_nothing(scale):
    """More targets and candidates than one tile holds."""
    rng = np.random.default_rng(0)
    targets, width = group_module._TILE
    scores = rng.standard_normal((targets + 3, 2 * width + 5), dtype=np.float32)
    rows = rng.choice(scores.shape[1], 4, replace=False)
    with _grown(scores, rows, scale, threads=1) as group:
        gains, best = group.gains().copy(), group.best()
    for threads in (2, 5, None):
        with _grown(scores, rows, scale, threads=threads) as group:
            np.testing.assert_array_equal(group.gains(), gains)
            assert group.best() == best


def test_tiles_change_nothing_but_the_rounding(monkeypatch, influence):
    scores = np.random.default_rng(1).standard_normal((9, 50), dtype=np.float32)
    monkeypatch.setattr(group_module, "_TILE", (4, 7))
    with _grown(scores, [3, 4, 5], 5.0) as group:
        before = influence(scores, [3, 4, 5], 5.0).mean()
        for row in (0, 6, 7, 49):
            exact = influence(scores, [3, 4, 5, row], 5.0).mean() - before
            assert group.gains()[row] == pytest.approx(exact, abs=3 * FLOAT32_GAINS)


@pytest.mark.parametrize("copies", [2, 3, 300, 1000])
def test_of_rows_exactly_alike_the_first_wins(copies):
    """Wherever the copies stand, and however many there are."""
    rng = np.random.default_rng(copies)
    scores = rng.standard_normal((13, 2000), dtype=np.float32)
    places = np.sort(rng.choice(2000, copies, replace=False))
    scores[:, places] = 3.0 + rng.random((13, 1))
    with _grown(scores, [], 5.0, weights=rng.random(13) + 0.5) as group:
        assert group.best()[0] == places[0]
        group.add(int(np.setdiff1d(np.arange(2000), places)[0]))
        assert group.best()[0] == places[0]
        assert (group.gains()[places] == group.gains()[places[0]]).all()


def test_the_best_of_many_that_float32_cannot_tell_apart(influence):
    """Every candidate is all but without weight, so that the gains differ by less than 1e-6."""
    rng = np.random.default_rng(0)
    scores = np.concatenate([[10.0], rng.uniform(0, 1e-3, 2000)]).astype(np.float32)[None]
    with _grown(scores, [0], 1.0) as group:
        best, gain = group.best()
        assert np.ptp(group.gains()[1:]) < FLOAT32_GAINS * 10  # all are within float32's doubt
    exact = [influence(scores, [0, i], 1.0)[0] - 10.0 for i in range(1, 2001)]
    assert gain == pytest.approx(max(exact), rel=1e-6)
    assert max(exact) - exact[best - 1] < 1e-9 * 10


def test_large_logits_do_not_blur_the_choice(influence):
    """A float32 holds a logit of 7000 to three digits only, which would be an error in its exp."""
    rng = np.random.default_rng(0)
    scores = rng.uniform(1.0, 1.001, (4, 3000)).astype(np.float32)
    scores[:, 3:] *= -1
    with _grown(scores, [0, 1, 2], 7000.0) as group:
        gains = group.gains()[3:]
    before = influence(scores, [0, 1, 2], 7000.0).mean()
    exact = [influence(scores, [0, 1, 2, i], 7000.0).mean() - before for i in range(3, 3000)]
    np.testing.assert_allclose(gains, exact, atol=FLOAT32_GAINS)


def test_targets_of_weight_zero_have_no_influence_and_no_say():
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((3, 20), dtype=np.float32)
    with_none = np.vstack([scores[:1], np.full((1, 20), 1e6, np.float32), scores[1:]])
    with (
        _grown(scores, [4, 9], 5.0, weights=[1, 2, 3]) as group,
        _grown(with_none, [4, 9], 5.0, weights=[1, 0, 2, 3]) as other,
    ):
        np.testing.assert_array_equal(other.gains(), group.gains())
        np.testing.assert_array_equal(other.values, np.insert(group.values, 1, 0.0))
        assert other.best() == group.best()
        np.testing.assert_array_equal(other.add(0), np.insert(group.add(0), 1, 0.0))


def test_scores_are_read_and_never_written():
    scores = np.random.default_rng(0).standard_normal((3, 20), dtype=np.float32)
    scores.setflags(write=False)
    with _grown(scores, [1, 2], 5.0) as group:
        group.best()
        group.start_group()
        group.best()
