"""Differences of two arms on the same examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airrep.errors import ArgumentError
from eval_harness.measures.paired import paired_difference


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 30), st.integers(0, 2**31))
def test_the_mean_is_the_difference_of_means_and_lies_within(runs, others, examples, seed):
    rng = np.random.default_rng(seed)
    values, compared = rng.normal(size=(runs, examples)), rng.normal(size=(others, examples))
    found = paired_difference(values, compared, draws=400)
    assert found.mean == pytest.approx(values.mean() - compared.mean())
    assert found.low <= found.high
    turned = paired_difference(compared, values, draws=400)
    assert turned.mean == pytest.approx(-found.mean)


def test_examples_that_all_agree_leave_no_doubt():
    values = np.arange(12.0)[None]
    found = paired_difference(values, values + 0.25)
    assert (found.low, found.mean, found.high) == (-0.25, -0.25, -0.25)


def test_the_interval_is_that_of_a_paired_t_test():
    rng = np.random.default_rng(0)
    shared = rng.normal(scale=5.0, size=400)  # hard examples are hard for both
    gaps = rng.normal(0.1, 1.0, size=400)
    found = paired_difference((shared + gaps)[None], shared[None])
    half = 1.96 * gaps.std(ddof=1) / 20
    assert found.low == pytest.approx(gaps.mean() - half, abs=0.02)
    assert found.high == pytest.approx(gaps.mean() + half, abs=0.02)


def test_runs_that_differ_widen_it():
    alike = np.zeros((2, 50))
    apart = np.array([[0.5] * 50, [-0.5] * 50])
    found = paired_difference(apart, alike)
    assert (found.low, found.high) == (pytest.approx(-0.5), pytest.approx(0.5))


def test_it_is_covered_as_often_as_it_says():
    rng = np.random.default_rng(1)
    inside = 0
    for trial in range(200):
        gaps = rng.normal(0.3, 1.0, size=(1, 60))
        found = paired_difference(gaps, np.zeros((1, 60)), draws=1000, seed=trial)
        inside += found.low <= 0.3 <= found.high
    assert 0.9 <= inside / 200 <= 0.99


@pytest.mark.parametrize(
    ("values", "others"),
    [(np.ones((1, 2)), np.ones((1, 3))), (np.ones(2), np.ones(2)), (np.ones((0, 2)),) * 2],
)
def test_what_cannot_be_compared(values, others):
    with pytest.raises(ArgumentError, match="expected"):
        paired_difference(values, others)
