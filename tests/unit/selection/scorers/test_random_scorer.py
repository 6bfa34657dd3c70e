"""Random scores: reproducible, whatever part of them is read."""

import numpy as np
import pytest

from airrep.records import Example
from selection import scores as scores_module
from selection.scorers import RandomScorer
from selection.scorers import random as random_module


def _examples(count):
    return [Example(str(i), "", "text") for i in range(count)]


def _matrix(seed=0, targets=3, pool=50):
    return RandomScorer(seed).score(_examples(targets), _examples(pool))


@pytest.fixture
def narrow_blocks(monkeypatch):
    monkeypatch.setattr(scores_module, "BLOCK", 16)
    monkeypatch.setattr(random_module, "BLOCK", 16)


def test_blocks_put_side_by_side_are_the_matrix(narrow_blocks):
    blocks = [block for _, block in _matrix().blocks()]
    assert [block.shape for block in blocks] == [(3, 16), (3, 16), (3, 16), (3, 2)]
    np.testing.assert_array_equal(np.hstack(blocks), _matrix().values())


def test_columns_are_the_matrix_at_those_rows(narrow_blocks):
    rows = np.array([49, 3, 20])
    np.testing.assert_array_equal(_matrix().columns(rows).values(), _matrix().values()[:, rows])


def test_blocks_differ_from_one_another(narrow_blocks):
    values = _matrix().values()
    assert np.unique(values).size == values.size


def test_the_seed_decides():
    np.testing.assert_array_equal(_matrix(seed=1).values(), _matrix(seed=1).values())
    assert (_matrix(seed=1).values() != _matrix(seed=2).values()).all()


def test_scores_are_standard_normal():
    values = _matrix(targets=10, pool=10_000).values()
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1) < 0.02
    assert abs(np.corrcoef(values)[0, 1]) < 0.05
