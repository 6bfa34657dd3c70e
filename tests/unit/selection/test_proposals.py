"""The rows that targets propose in turn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from airrep.errors import ArgumentError
from selection.proposals import late_picks, proposed
from selection.scores import DenseScores

MATRICES = st.tuples(st.integers(1, 5), st.integers(1, 12)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.integers(-3, 3).map(float))
)


def _by_turns(values, n):
    """One target after the other names its best row that it has not named yet."""
    rankings = [
        sorted(range(values.shape[1]), key=lambda i, row=row: (-row[i], i)) for row in values
    ]
    found = []
    for place in range(values.shape[1]):
        for ranking in rankings:
            if ranking[place] not in found:
                found.append(ranking[place])
    return found[:n]


@given(MATRICES, st.integers(1, 15))
def test_targets_take_turns(values, n):
    assert proposed(DenseScores(values), n).tolist() == _by_turns(values, n)


def test_many_targets_that_agree_propose_enough_all_the_same():
    values = np.tile(np.arange(50.0), (40, 1))
    assert proposed(DenseScores(values), 30).tolist() == list(range(49, 19, -1))


def test_no_row_is_not_a_proposal():
    with pytest.raises(ArgumentError, match="at least 1 row to propose, found 0"):
        proposed(DenseScores([[1.0]]), 0)


@pytest.mark.parametrize(
    ("picks", "rows", "late"),
    [([9, 3], range(20), 0), ([18, 3, 19], range(20), 2), ([7], [7], 1), ([], range(5), 0)],
)
def test_picks_of_the_last_tenth_are_counted(picks, rows, late):
    assert late_picks(np.array(picks, dtype=np.int64), np.array(rows)) == late
