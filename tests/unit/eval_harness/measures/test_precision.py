"""Source precision on a selection whose answer is known."""

import numpy as np
import pytest

from airrep.errors import ArgumentError
from airrep.records import Example
from eval_harness import source_precision
from selection import DenseScores, make_selector

POOL = [Example(str(i), "", "x", source, i) for i, source in enumerate("aabbc")]


def _first(k):
    scores = DenseScores(np.array([[5, 4, 3, 2, 1]], dtype=np.float32))
    return make_selector("top_k_mean").select(scores, k)


@pytest.mark.parametrize(
    ("k", "sources", "share"), [(2, ["a"], 1.0), (4, ["a"], 0.5), (5, ["a", "c"], 0.6), (2, "c", 0)]
)
def test_share_of_picks_from_the_sources(k, sources, share):
    assert source_precision(_first(k), POOL, sources) == share


def test_a_source_that_does_not_exist_is_an_error():
    with pytest.raises(ArgumentError, match="no pool row is from"):
        source_precision(_first(2), POOL, ["z"])
