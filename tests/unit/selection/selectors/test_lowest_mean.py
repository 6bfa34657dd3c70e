"""The selector of what hurts, against means computed with plain Python."""

import math

import numpy as np
import pytest

from airrep.errors import ArgumentError
from selection import scores as scores_module
from selection.constraints import BoundConstraints, Constraints
from selection.scores import DenseScores
from selection.selectors import SELECTORS, make_selector
from selection.selectors.lowest_mean import LowestMean

WEIGHTS = [1, 2, 0.5, 0, 4]


def _by_hand(values, weights):
    """(row, mean, target hurt most), lowest mean first, of ties the first row."""
    total = math.fsum(weights)
    rows = []
    for row, column in enumerate(values.T.tolist()):
        terms = [w / total * s for w, s in zip(weights, column, strict=True)]
        counted = [x for x, w in enumerate(weights) if w]
        rows.append((row, math.fsum(terms), min(counted, key=lambda x: terms[x])))
    return sorted(rows, key=lambda each: each[1])


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("seed", range(3))
def test_rows_come_by_their_mean_lowest_first(normal_scores, weights, seed):
    values = normal_scores(seed=seed)
    chosen = LowestMean().select(DenseScores(values), 12, weights=weights)
    expected = _by_hand(values, weights or [1] * len(values))[:12]
    assert chosen.indices.tolist() == [row for row, _, _ in expected]
    np.testing.assert_allclose(chosen.gains, [mean for _, mean, _ in expected], rtol=1e-6)
    assert chosen.targets.tolist() == [target for _, _, target in expected]
    np.testing.assert_array_equal(chosen.scores, values[chosen.targets, chosen.indices])
    assert chosen.method == "lowest_mean"


def test_it_is_the_end_of_top_k_by_mean(normal_scores):
    matrix = DenseScores(normal_scores())
    best = make_selector("top_k_mean").select(matrix, 40).indices
    np.testing.assert_array_equal(LowestMean().select(matrix, 40).indices, best[::-1])


def test_every_prefix_is_the_selection_of_its_own_size_and_of_ties_the_first_row_wins():
    column = np.array([[-1.0], [0.5]], dtype=np.float32)
    values = np.concatenate([0 * column, column, column, 2 * column, column], axis=1)
    matrix = DenseScores(values)
    assert LowestMean().select(matrix, 5).indices.tolist() == [3, 1, 2, 4, 0]
    for k in range(1, 5):
        assert LowestMean().select(matrix, k).indices.tolist() == [3, 1, 2, 4, 0][:k]


def test_blocks_do_not_matter(normal_scores, monkeypatch):
    values = normal_scores()
    whole = LowestMean().select(DenseScores(values), 20, weights=WEIGHTS)
    monkeypatch.setattr(scores_module, "BLOCK", 7)
    parts = LowestMean().select(DenseScores(values), 20, weights=WEIGHTS)
    np.testing.assert_array_equal(parts.indices, whole.indices)
    np.testing.assert_array_equal(parts.gains, whole.gains)


def test_only_rows_below_zero():
    values = np.array([[-1.0, 0.0, 2.0, -0.1], [-1.0, 0.0, -3.0, 0.1]], dtype=np.float32)
    matrix = DenseScores(values)  # means -1, 0, -0.5, 0
    assert LowestMean().select(matrix, 4).indices.tolist() == [0, 2, 1, 3]
    assert LowestMean(only_negative=True).select(matrix, 4).indices.tolist() == [0, 2]
    assert LowestMean(only_negative=True).select(matrix, 1).indices.tolist() == [0]


def test_where_nothing_hurts_it_says_how_low_the_lowest_is():
    matrix = DenseScores(np.array([[0.5, 0.25]], dtype=np.float32))
    with pytest.raises(ArgumentError, match=r"no row hurts: of 2 rows the lowest .* is 0\.25"):
        LowestMean(only_negative=True).select(matrix, 1)


@pytest.mark.parametrize("k", [0, 41, 2.0])
def test_a_k_that_cannot_be(normal_scores, k):
    with pytest.raises(ArgumentError, match="k"):
        LowestMean(only_negative=True).select(DenseScores(normal_scores()), k)


def test_constraints_are_kept(normal_scores):
    values = normal_scores()
    matrix = DenseScores(values)
    sources = ["a" if row % 4 else "b" for row in range(40)]
    ids = [str(row) for row in range(40)]
    order = [row for row, _, _ in _by_hand(values, [1] * 5)]
    asked = Constraints(max_per_source={"a": 3}, exclude=[ids[order[0]]])
    bound = BoundConstraints.bind(asked, ids, sources, None)
    chosen = LowestMean().select(matrix, 8, constraints=bound)
    free = [row for row in order[1:] if sources[row] == "b"][:5]
    few = [row for row in order[1:] if sources[row] == "a"][:3]
    assert sorted(chosen.indices.tolist()) == sorted(free + few)
    assert chosen.gains.tolist() == sorted(chosen.gains.tolist())

    every = BoundConstraints.bind(Constraints(min_per_target=2), ids, sources, None)
    chosen = LowestMean().select(matrix, 10, constraints=every)
    assert np.bincount(chosen.targets, minlength=5).tolist() == [2] * 5
    assert chosen.indices.tolist() == order[:10]
    with pytest.raises(ArgumentError, match="do not go together"):
        LowestMean(only_negative=True).select(matrix, 10, constraints=every)


def test_nobody_selects_training_data_with_it_by_name():
    assert "lowest_mean" not in SELECTORS
    with pytest.raises(ArgumentError, match="unknown"):
        make_selector("lowest_mean")
