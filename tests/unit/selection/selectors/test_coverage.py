"""Coverage: the lazy greedy makes the picks of the full one."""

import numpy as np
import pytest

from airrep.errors import ArgumentError
from selection.scores import DenseScores
from selection.selectors import Coverage
from selection.selectors import coverage as coverage_module
from selection.weights import target_weights


def _coverage(scores, rows, scale, share):
    """C(S) = Σ_x (w_x / τ) log(1 + Σ_{i∈S} exp(τ s_i)), straight from the formula."""
    total = np.exp(scale * scores[:, rows].astype(np.float64)).sum(axis=1)
    return share @ np.log1p(total) / scale


def _full_greedy(scores, k, scale, share):
    picks, gains = [], []
    for _ in range(k):
        before = _coverage(scores, picks, scale, share)
        free = [i for i in range(scores.shape[1]) if i not in picks]
        all_gains = [_coverage(scores, [*picks, i], scale, share) - before for i in free]
        best = int(np.argmax(all_gains))
        picks.append(free[best])
        gains.append(all_gains[best])
    return picks, gains


def _select(scores, k, scale, weights=None):
    return Coverage(scale=scale).select(DenseScores(scores), k, weights=weights)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [0.5, 1.0, 5.0, 20.0])
def test_picks_and_gains_are_those_of_the_full_greedy(normal_scores, scale, seed):
    scores = normal_scores(seed=seed)
    weights = None if seed % 2 else [1, 2, 0.5, 0.25, 4]
    chosen = _select(scores, 25, scale, weights)
    picks, gains = _full_greedy(scores, 25, scale, target_weights(weights, 5))
    assert chosen.indices.tolist() == picks
    np.testing.assert_allclose(chosen.gains, gains, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("likely", "at_once"), [(0, 1), (1, 7), (3, 1 << 19)])
def test_how_many_rows_are_computed_together_changes_nothing(
    normal_scores, monkeypatch, likely, at_once
):
    scores = normal_scores(pool=300)
    usual = _select(scores, 60, 5.0)
    monkeypatch.setattr(coverage_module, "_LIKELY", likely)
    monkeypatch.setattr(coverage_module, "_AT_ONCE", at_once)
    other = _select(scores, 60, 5.0)
    np.testing.assert_array_equal(other.indices, usual.indices)
    np.testing.assert_array_equal(other.gains, usual.gains)


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0, 1000.0])
def test_each_pick_adds_less_than_the_one_before_and_never_nothing_less(normal_scores, scale):
    gains = _select(normal_scores(), 40, scale).gains
    assert (np.diff(gains) <= 1e-12).all()
    assert (gains >= 0).all()


def test_gains_add_up_to_the_coverage_of_the_set(normal_scores):
    scores = normal_scores()
    chosen = _select(scores, 17, 5.0)
    whole = _coverage(scores, chosen.indices.tolist(), 5.0, target_weights(None, 5))
    assert chosen.gains.sum() == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("scale", [1e3, 1e6])
def test_at_a_huge_scale_every_target_gets_its_best_row_first(scale):
    """exp(τ s) overflows by far; only each target's largest positive score counts."""
    scores = np.array([[3.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 1.0]], dtype=np.float32)
    chosen = _select(scores, 4, scale)
    assert chosen.indices[:2].tolist() == [0, 2]
    np.testing.assert_allclose(chosen.gains[:2], [1.5, 1.0], rtol=1e-2)
    assert np.isfinite(chosen.gains).all()


def test_the_pick_is_credited_to_the_target_it_covered_most(normal_scores):
    scores = normal_scores(seed=1)
    weights = np.array([1, 2, 0.5, 0.25, 4])
    chosen = _select(scores, 20, 5.0, weights)
    for rank in range(20):
        before, after = chosen.indices[:rank].tolist(), chosen.indices[: rank + 1].tolist()
        moved = [
            weights[x]
            * (
                _coverage(scores[[x]], after, 5.0, np.ones(1))
                - _coverage(scores[[x]], before, 5.0, np.ones(1))
            )
            for x in range(5)
        ]
        assert chosen.targets[rank] == np.argmax(moved)


@pytest.mark.parametrize("copies", [2, 100])
def test_of_duplicate_rows_the_first_is_picked_first(normal_scores, copies):
    scores = np.repeat(normal_scores(targets=13, pool=10), copies, axis=1)
    order = np.random.default_rng(0).permutation(10 * copies)
    chosen = _select(scores[:, order], 10 * copies, 5.0)
    original = order[chosen.indices] // copies
    for row in range(10):
        assert (np.diff(chosen.indices[original == row]) > 0).all()


def test_rows_without_any_score_are_taken_in_order():
    np.testing.assert_array_equal(
        _select(np.zeros((3, 6), dtype=np.float32), 6, 5.0).indices, np.arange(6)
    )


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_a_scale_that_pools_nothing_is_refused(scale):
    with pytest.raises(ArgumentError, match="scale"):
        Coverage(scale=scale)
