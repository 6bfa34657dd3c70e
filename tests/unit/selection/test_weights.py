"""Target weights: normalized, or refused with a reason."""

import numpy as np
import pytest

from airrep.errors import ArgumentError
from selection.weights import target_weights


@pytest.mark.parametrize("weights", [[1, 2, 5], [0.1, 0.2, 0.5], np.array([10.0, 20.0, 50.0])])
def test_only_proportions_count(weights):
    np.testing.assert_allclose(target_weights(weights, 3), [0.125, 0.25, 0.625], rtol=1e-15)


def test_without_weights_all_targets_count_the_same():
    np.testing.assert_array_equal(target_weights(None, 4), [0.25] * 4)


def test_a_single_zero_is_kept_as_no_say():
    np.testing.assert_array_equal(target_weights([3, 0, 1], 3), [0.75, 0.0, 0.25])


def test_weights_near_the_largest_float_do_not_overflow():
    np.testing.assert_array_equal(target_weights([1e308, 1e308], 2), [0.5, 0.5])


@pytest.mark.parametrize("weights", [[1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]], []])
def test_one_weight_per_target(weights):
    with pytest.raises(ArgumentError, match=r"expected one per target \(2\)"):
        target_weights(weights, 2)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_a_weight_that_is_none_is_named(bad):
    with pytest.raises(ArgumentError, match=r"weight 1 is .*expected finite and >= 0"):
        target_weights([1.0, bad, -5.0], 3)


def test_at_least_one_target_has_to_count():
    with pytest.raises(ArgumentError, match="all are zero"):
        target_weights([0.0, 0.0], 2)


def test_the_given_weights_stay_as_they_are():
    weights = np.array([1.0, 3.0])
    target_weights(weights, 2)
    np.testing.assert_array_equal(weights, [1.0, 3.0])
