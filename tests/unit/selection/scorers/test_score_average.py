"""The mean of standardized scores, against Python's own mean and standard deviation."""

import gc
import statistics
import tracemalloc
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from airrep.errors import ArgumentError, EmbeddingError
from airrep.records import Example
from selection import scores as scores_module
from selection.scorers import RandomScorer, ScoreAverage, TfidfScorer
from selection.scorers import random as random_module
from selection.scorers.score_average import AVERAGE_SCALE
from selection.scores import BlockScores, DenseScores


@dataclass
class Given:
    """Scores [target][row] by the examples' ids."""

    values: np.ndarray
    name: str = "given"

    def score(self, targets, pool):
        rows, columns = ([int(e.id) for e in examples] for examples in (targets, pool))
        return DenseScores(np.asarray(self.values)[np.ix_(rows, columns)])


def _examples(count):
    return [Example(str(i), "", f"text {i}") for i in range(count)]


def _average(*matrices, order=None):
    targets, rows = np.shape(matrices[0])
    pool = _examples(rows)
    if order is not None:
        pool = [pool[i] for i in order]
    return ScoreAverage([Given(v) for v in matrices]).score(_examples(targets), pool)


def _standardized(values):
    """(T, N), target by target, in exact fractions up to the last step; 0 where all are alike."""
    found = []
    for line in np.float32(values).tolist():
        mean, deviation = statistics.mean(line), statistics.pstdev(line)
        found.append([(s - mean) / deviation if deviation else 0.0 for s in line])
    return np.array(found)


def _by_hand(*matrices):
    return np.mean([_standardized(values) for values in matrices], axis=0)


def _drawn(seed=0, targets=3, rows=17, levels=5):
    """One matrix with many ties, one with none."""
    rng = np.random.default_rng(seed)
    tied = rng.integers(-levels, levels, (targets, rows)).astype(float)
    return tied, rng.standard_normal((targets, rows))


def _close(found, expected, atol=1e-6):
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_mean_of_standardized_scores(seed):
    tied, free = _drawn(seed)
    third = 1e-3 * _drawn(seed + 100, levels=2)[0] + 7
    _close(_average(tied, free).values(), _by_hand(tied, free))
    _close(_average(tied, free, third).values(), _by_hand(tied, free, third))


def test_by_hand():
    found = _average([[1.0, 3.0, 2.0, 2.0]], [[0.0, 0.0, 40.0, 0.0]])
    # deviations √½ and √300; √2 · (-1, 1, 0, 0) and (-1, -1, 3, -1) / √3
    expected = [[-(2**0.5) - 3**-0.5, 2**0.5 - 3**-0.5, 3**0.5, -(3**-0.5)]]
    _close(found.values(), np.array(expected) / 2)


@pytest.mark.parametrize("rows", [2, 3, 1000])
def test_every_target_has_mean_0_and_agreeing_scorers_deviation_1(rows):
    tied, free = _drawn(rows=rows)
    agreed = _average(free, 2 * free).values()
    _close(agreed.std(axis=1), 1)
    for values in (agreed, _average(tied, free).values()):
        assert values.dtype == np.float32
        _close(values.mean(axis=1, dtype=float), 0)


def test_how_far_a_row_stands_out_is_kept():
    flat = np.linspace(0, 1, 100)[None]
    found = _average(np.where(np.arange(100) == 7, 50.0, flat), flat).values()[0]
    runner_up = np.sort(found)[-2]
    assert found.argmax() == 7
    assert found[7] > 2 * runner_up


# --- what makes no difference ---


def test_equal_rows_get_equal_scores_to_the_bit():
    rng = np.random.default_rng(0)
    tied, other = rng.standard_normal((2, 3, 5)).repeat(7, axis=2)
    found = _average(tied, other / 3).values().reshape(3, 5, 7)
    np.testing.assert_array_equal(found, found[:, :, :1].repeat(7, axis=2))
    zeros = _average([[0.0, 1.0, -0.0, 1.0]], [[2.0, 3.0, 2.0, 3.0]]).values()[0]
    assert zeros[0] == zeros[2] < zeros[1] == zeros[3]


def test_the_order_of_the_pool_does_not_matter_to_the_bit():
    tied, free = _drawn(rows=3000)
    order = np.random.default_rng(1).permutation(3000)
    shuffled = _average(tied / 3, free, order=order)
    np.testing.assert_array_equal(shuffled.values(), _average(tied / 3, free).values()[:, order])
    assert shuffled.pool_ids == [str(i) for i in order]


def test_the_order_of_the_scorers_does_not_matter():
    tied, free = _drawn()
    third = _drawn(7)[0]
    np.testing.assert_array_equal(_average(tied, free).values(), _average(free, tied).values())
    _close(_average(tied, free, third).values(), _average(third, tied, free).values())


@given(
    values=arrays(np.int8, (2, 9)), factor=st.floats(1e-3, 1e3), shift=st.floats(-4, 4),
)  # fmt: skip
def test_the_unit_of_scores_does_not_matter(values, factor, shift):
    free = _drawn(targets=2, rows=9)[1]
    changed = factor * (values + shift)  # rounded to float32, which the tolerance is for
    _close(_average(changed, free).values(), _average(values, free).values(), atol=1e-4)


@pytest.mark.parametrize(
    "change", [lambda v: 1024 * v, lambda v: v * np.float32(1e-30), lambda v: 3 * v - 2]
)
def test_scale_and_shift_of_one_scorer_change_nothing(change):
    tied, free = _drawn()
    plain = _average(tied, free).values()
    _close(_average(change(tied), free).values(), plain)
    _close(_average(tied, change(free)).values(), plain)


def test_turning_every_score_round_turns_the_result_round():
    tied, free = _drawn()
    _close(_average(-tied, -free).values(), -_average(tied, free).values())


def test_scores_that_come_in_blocks(monkeypatch):
    targets, pool = _examples(3), _examples(50)
    values = [RandomScorer(seed).score(targets, pool).values() for seed in (1, 2)]
    whole = _average(*values).values()
    monkeypatch.setattr(scores_module, "BLOCK", 16)
    found = ScoreAverage([Given(v) for v in values]).score(targets, pool)
    assert [start for start, _ in found.blocks()] == [0, 16, 32, 48]
    np.testing.assert_array_equal(found.values(), whole)
    monkeypatch.setattr(random_module, "BLOCK", 16)  # scores that do not exist as a whole
    scorers = [RandomScorer(1), RandomScorer(2)]
    drawn = (scorer.score(targets, pool).values() for scorer in scorers)
    _close(ScoreAverage(scorers).score(targets, pool).values(), _by_hand(*drawn))


# --- scores that do not vary ---


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e30, 1e-40])
def test_a_scorer_that_says_nothing_contributes_0(constant):
    free = _drawn(rows=1000)[1]
    nothing = np.full_like(free, constant)
    _close(_average(nothing, free).values(), _standardized(free) / 2)
    assert not _average(nothing, nothing).values().any()


def test_a_scorer_that_says_nothing_about_one_target_is_heard_on_the_others():
    tied, free = _drawn()
    tied[1] = 0.1
    found = _average(tied, free).values()
    _close(found, _by_hand(tied, free))
    _close(found[1], _standardized(free)[1] / 2)


def test_differences_of_the_last_bit_of_float32_do_count():
    line = np.full((1, 1000), 0.1, dtype=np.float32)
    line[0, 5] = np.nextafter(line[0, 5], np.float32(1))
    found = _average(line, np.zeros((1, 1000))).values()[0]
    assert found.argmax() == 5
    assert found[5] > 10


def test_a_pool_of_one_row_has_score_0():
    assert _average([[3.0], [-2.0]], [[1.0], [5.0]]).values().tolist() == [[0.0], [0.0]]


# --- the rest of a scorer ---


def test_name_ids_and_scale():
    targets, pool = _examples(2), _examples(5)
    average = ScoreAverage([TfidfScorer(), RandomScorer(), Given(np.eye(5), "mine")])
    found = average.score(targets, pool)
    assert average.name == found.method == "tfidf + random + mine"
    assert (found.target_ids, found.pool_ids) == (["0", "1"], ["0", "1", "2", "3", "4"])
    assert found.scale == AVERAGE_SCALE == 0.25


def test_an_average_of_averages():
    tied, free = _drawn()
    inner = ScoreAverage([Given(tied), Given(free)])
    targets, pool = _examples(3), _examples(17)
    found = ScoreAverage([inner, Given(free)]).score(targets, pool)
    _close(found.values(), _by_hand(inner.score(targets, pool).values(), free))


@pytest.mark.parametrize("scorers", [[], [RandomScorer()]])
def test_fewer_than_two_scorers_are_refused(scorers):
    with pytest.raises(ArgumentError, match=f"two scorers or more, found {len(scorers)}"):
        ScoreAverage(scorers)


def test_no_targets_and_no_pool_are_refused():
    average = ScoreAverage([RandomScorer(1), RandomScorer(2)])
    with pytest.raises(ArgumentError, match="no targets"):
        average.score([], _examples(2))
    with pytest.raises(ArgumentError, match="the pool is empty"):
        average.score(_examples(2), [])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_broken_scores_are_refused(bad):
    class Broken:
        name = "broken"

        def score(self, targets, pool):
            values = np.zeros((len(targets), len(pool)), dtype=np.float32)
            values[1, 3] = bad
            ids = [e.id for e in pool]
            return BlockScores(lambda a, b: values[:, a:b], ["0", "1"], ids, "broken")

    with pytest.raises(EmbeddingError, match=r"pool row 3 .* NaN or infinite"):
        ScoreAverage([RandomScorer(), Broken()]).score(_examples(2), _examples(5))


def test_the_scorers_own_matrices_are_left_as_they_are():
    tied, free = (DenseScores(np.float32(v)) for v in _drawn())
    before = tied.values().copy(), free.values().copy()

    class Made:
        name = "made"

        def __init__(self, scores):
            self.score = lambda targets, pool: scores

    ScoreAverage([Made(tied), Made(free)]).score(_examples(3), _examples(17))
    np.testing.assert_array_equal(tied.values(), before[0])
    np.testing.assert_array_equal(free.values(), before[1])


@pytest.mark.slow
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
    average = ScoreAverage([Watching(v) for v in (tied, free, tied)])
    average.score(_examples(3), _examples(17))
    assert len(made) == 3


def test_it_takes_8_bytes_per_target_and_row():
    targets, pool = _examples(40), _examples(20_000)
    average = ScoreAverage([RandomScorer(seed) for seed in range(3)])
    tracemalloc.start()
    try:
        average.score(targets, pool)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    beside = 1_500_000 + 4 * len(targets) * scores_module.BLOCK  # ids, a few rows, a block
    assert peak < 8 * len(targets) * len(pool) + beside
