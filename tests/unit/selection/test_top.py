"""The n best, with ties broken by position."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.top import TargetRows, largest

VALUES = st.lists(st.integers(-2, 2), max_size=30)  # few values: many ties


@given(values=VALUES, n=st.integers(0, 32), seed=st.integers(0, 9))
def test_the_largest_are_those_of_a_full_sort(values, n, seed):
    rows = np.random.default_rng(seed).permutation(len(values))
    array = np.array(values, dtype=np.float32)
    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))[:n]
    assert largest(array, n).tolist() == expected
    expected = sorted(range(len(values)), key=lambda i: (-values[i], rows[i]))[:n]
    assert largest(array, n, rows).tolist() == expected


@given(data=st.data(), n=st.integers(0, 7), parts=st.integers(1, 6))
def test_rows_that_come_in_parts_end_as_those_of_one_sort(data, n, parts):
    pool = 24
    values = np.array(
        [data.draw(st.lists(st.integers(-2, 2), min_size=pool, max_size=pool)) for _ in range(2)],
        dtype=np.float32,
    )
    order = np.array(data.draw(st.permutations(range(pool))))
    found = TargetRows.nothing(2)
    for some in np.array_split(order, parts):  # in any order, by what scan promises
        found = found.joined(some, values[:, some], n)
    for x, line in enumerate(values):
        expected = sorted(range(pool), key=lambda i: (-line[i], i))[:n]
        assert found.rows[x].tolist() == expected
        np.testing.assert_array_equal(found.scores[x], line[expected])


@pytest.mark.parametrize("n", [1, 4])
def test_other_rows_for_each_target_are_joined(n):
    first = TargetRows.nothing(2).joined(np.array([0, 1]), np.float32([[1, 2], [2, 1]]), n)
    both = first.joined(np.array([[5, 3], [4, 2]]), np.float32([[2, 2], [0, 3]]), n)
    assert both.rows.tolist() == [[1, 3, 5, 0][:n], [2, 0, 1, 4][:n]]
