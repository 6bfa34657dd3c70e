"""The mean of ranks, against ranks that are counted."""

import gc
import weakref
from dataclasses import dataclass

import numpy as np
import pytest

from airrep.errors import ArgumentError, EmbeddingError
from airrep.records import Example
from selection import scores as scores_module
from selection.scorers import RandomScorer, RankAverage, TfidfScorer
from selection.scorers import random as random_module
from selection.scorers.rank_average import RANK_SCALE
from selection.scores import ScoreMatrix


@dataclass
class Given:
    """Scores [target][row] by the examples' ids."""

    values: np.ndarray
    name: str = "given"

    def score(self, targets, pool):
        rows, columns = ([int(e.id) for e in examples] for examples in (targets, pool))
        return ScoreMatrix.from_array(np.asarray(self.values)[np.ix_(rows, columns)])


def _examples(count):
    return [Example(str(i), "", f"text {i}") for i in range(count)]


def _average(*given, order=None):
    targets, rows = np.shape(given[0])
    pool = _examples(rows)
    if order is not None:
        pool = [pool[i] for i in order]
    return RankAverage([Given(v) for v in given]).score(_examples(targets), pool)


def _counted(*given):
    """Mean over scorers of (#smaller - #larger) / N, pair by pair."""
    shares = [
        [[sum(np.sign(a - b) for b in line) / len(line) for a in line] for line in values]
        for values in np.asarray(given, dtype=float)
    ]
    return np.mean(shares, axis=0)


def _drawn(seed=0, targets=3, rows=17, levels=5):
    """One matrix with many ties, one with none."""
    rng = np.random.default_rng(seed)
    tied = rng.integers(-levels, levels, (targets, rows)).astype(float)
    return tied, rng.standard_normal((targets, rows))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_mean_of_counted_ranks(seed):
    tied, free = _drawn(seed)
    third = _drawn(seed + 100, levels=2)[0]
    np.testing.assert_allclose(
        _average(tied, free).values(), _counted(tied, free), rtol=0, atol=1e-7
    )
    np.testing.assert_allclose(
        _average(tied, free, third).values(), _counted(tied, free, third), rtol=0, atol=1e-7
    )


def test_by_hand():
    found = _average([[1.0, 3.0, 2.0, 2.0]], [[-5.0, 100.0, 0.0, 7.0]])
    # doubled ranks less 5: -3, 3, 0, 0 and -3, 3, -1, 1
    np.testing.assert_array_equal(found.values(), np.float32([[-6, 6, -1, 1]]) / 8)


def test_equal_rows_get_equal_scores_and_zeros_have_no_sign():
    found = _average([[0.0, 1.0, -0.0, 1.0]], [[2.0, 3.0, 2.0, 3.0]]).values()[0]
    assert found[0] == found[2] < found[1] == found[3]
    assert not _average(np.zeros((2, 6)), np.ones((2, 6))).values().any()


def test_the_order_of_the_pool_does_not_matter():
    tied, free = _drawn()
    other = np.round(free)
    order = np.random.default_rng(1).permutation(17)
    shuffled = _average(tied, other, order=order)
    np.testing.assert_array_equal(shuffled.values(), _average(tied, other).values()[:, order])
    assert shuffled.pool_ids == [str(i) for i in order]


def test_the_order_of_the_scorers_does_not_matter():
    tied, free = _drawn()
    third = _drawn(7)[0]
    first, second = _average(tied, free, third), _average(third, tied, free)
    np.testing.assert_array_equal(first.values(), second.values())


@pytest.mark.parametrize(
    "change", [np.exp, np.cbrt, lambda v: 1000 * v - 3, lambda v: v * np.float32(1e-30)]
)
def test_only_the_order_of_scores_counts(change):
    tied, free = _drawn()
    plain = _average(tied, free).values()
    np.testing.assert_array_equal(_average(change(tied), free).values(), plain)
    np.testing.assert_array_equal(_average(tied, change(free)).values(), plain)


def test_turning_every_score_round_turns_the_result_round():
    tied, free = _drawn()
    np.testing.assert_array_equal(_average(-tied, -free).values(), -_average(tied, free).values())


@pytest.mark.parametrize("rows", [1, 2, 3, 1000])
def test_it_lies_within_one_and_sums_to_zero(rows):
    tied, free = _drawn(rows=rows)
    agreed = _average(free, 2 * free).values()
    assert np.abs(agreed).max() == np.float32((rows - 1) / rows) < 1
    for values in (agreed, _average(tied, free).values()):
        assert values.dtype == np.float32
        np.testing.assert_allclose(values.sum(axis=1), 0, atol=1e-4)


def test_scores_that_come_in_blocks(monkeypatch):
    monkeypatch.setattr(scores_module, "BLOCK", 16)
    monkeypatch.setattr(random_module, "BLOCK", 16)
    targets, pool = _examples(3), _examples(50)
    scorers = [RandomScorer(1), RandomScorer(2)]
    expected = _counted(*(scorer.score(targets, pool).values() for scorer in scorers))
    found = RankAverage(scorers).score(targets, pool)
    np.testing.assert_allclose(found.values(), expected, rtol=0, atol=1e-7)
    assert [start for start, _ in found.blocks()] == [0, 16, 32, 48]


def test_name_ids_and_scale():
    targets, pool = _examples(2), _examples(5)
    average = RankAverage([TfidfScorer(), RandomScorer(), Given(np.eye(5), "mine")])
    found = average.score(targets, pool)
    assert average.name == found.method == "tfidf + random + mine"
    assert (found.target_ids, found.pool_ids) == (["0", "1"], ["0", "1", "2", "3", "4"])
    assert found.scale == RANK_SCALE


def test_an_average_of_averages():
    tied, free = _drawn()
    inner = RankAverage([Given(tied), Given(free)])
    targets, pool = _examples(3), _examples(17)
    found = RankAverage([inner, Given(free)]).score(targets, pool)
    expected = _counted(inner.score(targets, pool).values(), free)
    np.testing.assert_allclose(found.values(), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("scorers", [[], [RandomScorer()]])
def test_fewer_than_two_scorers_are_refused(scorers):
    with pytest.raises(ArgumentError, match=f"two scorers or more, found {len(scorers)}"):
        RankAverage(scorers)


def test_no_targets_and_no_pool_are_refused():
    average = RankAverage([RandomScorer(1), RandomScorer(2)])
    with pytest.raises(ArgumentError, match="no targets"):
        average.score([], _examples(2))
    with pytest.raises(ArgumentError, match="the pool is empty"):
        average.score(_examples(2), [])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_broken_scores_have_no_rank(bad):
    class Broken:
        name = "broken"

        def score(self, targets, pool):
            values = np.zeros((len(targets), len(pool)), dtype=np.float32)
            values[1, 3] = bad
            ids = [e.id for e in pool]
            return ScoreMatrix(lambda a, b: values[:, a:b], ["0", "1"], ids, "broken")

    with pytest.raises(EmbeddingError, match=r"pool row 3 .* NaN or infinite"):
        RankAverage([RandomScorer(), Broken()]).score(_examples(2), _examples(5))


def test_one_scorers_scores_are_gone_before_the_next_works():
    made = []

    class Watching(Given):
        def score(self, targets, pool):
            gc.collect()
            assert all(reference() is None for reference in made)
            matrix = super().score(targets, pool)
            made.append(weakref.ref(matrix))
            return matrix

    tied, free = _drawn()
    average = RankAverage([Watching(v) for v in (tied, free, tied)])
    average.score(_examples(3), _examples(17))
    assert len(made) == 3
