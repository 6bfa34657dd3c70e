"""Group influence: the formula and the properties promised of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from airrep.errors import ArgumentError
from airrep.pooling import group_influence

scores = arrays(
    np.float32, st.integers(1, 12), elements=st.floats(-100, 100, width=32, allow_subnormal=False)
)
scales = st.floats(0, 20)


def pooled(values, **options) -> float:
    return float(group_influence(torch.as_tensor(values), **options))


def by_hand(values: np.ndarray, scale: float = 1.0) -> float:
    """sum_i softmax(scale · |s|)_i s_i, in float64."""
    values = values.astype(np.float64)
    weights = np.exp(scale * (np.abs(values) - np.abs(values).max()))
    return float((weights * values).sum() / weights.sum())


@settings(max_examples=100, deadline=None)
@given(scores, scales)
def test_it_is_the_formula(values, scale):
    assert pooled(values, scale=scale) == pytest.approx(by_hand(values, scale), abs=1e-3, rel=1e-3)


def test_a_number_worked_out_by_hand():
    """|s| = (ln 3, 0) gives the weights (3/4, 1/4)."""
    assert pooled([-np.log(3.0), 0.0]) == pytest.approx(-0.75 * np.log(3.0), rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.floats(-1e6, 1e6, width=32), scales)
def test_one_member_is_its_raw_score(value, scale):
    assert pooled(np.float32([value]), scale=scale) == np.float32(value)


@settings(max_examples=50, deadline=None)
@given(scores, st.randoms(use_true_random=False))
def test_order_does_not_matter(values, draw):
    shuffled = values.tolist()
    draw.shuffle(shuffled)
    assert pooled(np.float32(shuffled)) == pytest.approx(pooled(values), rel=1e-4, abs=1e-4)


@settings(max_examples=50, deadline=None)
@given(scores, st.integers(2, 4))
def test_repeating_the_whole_group_does_not_matter(values, times):
    assert pooled(np.tile(values, times)) == pytest.approx(pooled(values), rel=1e-4, abs=1e-4)


@settings(max_examples=50, deadline=None)
@given(scores, scales)
def test_it_lies_between_the_smallest_and_the_largest_score(values, scale):
    slack = 1e-30 + 1e-5 * np.abs(values).max()
    assert values.min() - slack <= pooled(values, scale=scale) <= values.max() + slack


def test_the_weight_follows_the_magnitude_and_the_result_keeps_the_sign():
    assert pooled([-10.0, 1.0]) == pytest.approx(-10.0, abs=1e-2)


@pytest.mark.parametrize("values", [[1e4, -3.0], [-3e30, 5.0], [1e30, 1e30]])
def test_huge_scores_do_not_overflow(values):
    assert pooled(np.float32(values), scale=4.0) == pytest.approx(values[0], rel=1e-6)


def test_a_sharper_scale_moves_the_result_to_the_strongest_member():
    values = np.float32([0.5, 0.1, -0.2])
    soft, middle, sharp = (pooled(values, scale=s) for s in (0.0, 5.0, 500.0))
    assert soft == pytest.approx(values.mean())
    assert soft < middle < sharp == pytest.approx(0.5)


def test_the_scale_is_inside_the_softmax_only():
    values = np.float32([0.3, -0.2, 0.05])
    assert pooled(values, scale=7.0) == pytest.approx(pooled(7 * values) / 7, rel=1e-5)


@pytest.mark.parametrize("pooling", ["attention", "sum", "mean"])
def test_an_empty_group_has_no_influence(pooling):
    assert group_influence(torch.zeros(3, 0), pooling=pooling).tolist() == [0.0, 0.0, 0.0]


def test_sum_and_mean_are_what_they_say():
    values = torch.tensor([[1.0, -2.0, 4.0]])
    assert group_influence(values, pooling="sum").tolist() == [3.0]
    assert group_influence(values, pooling="mean").tolist() == [1.0]


def test_each_row_is_pooled_on_its_own():
    values = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    whole = group_influence(values)
    assert whole.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            assert float(whole[i, j]) == pytest.approx(by_hand(values[i, j].numpy()), rel=1e-5)


def test_an_unknown_pooling_lists_the_known_ones():
    with pytest.raises(ArgumentError, match=r"'max' is unknown.*attention.*sum.*mean"):
        group_influence(torch.zeros(1), pooling="max")


def test_training_can_differentiate_through_it():
    values = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: group_influence(s, scale=3.0), values)
