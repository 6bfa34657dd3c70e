"""LDS against scipy, against a loop over the pooling formula, and on data whose answer is known."""

import itertools
import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import spearmanr

from airrep.errors import ArgumentError, EmbeddingError
from airrep.pooling import GroupPooling, group_influence
from eval_harness.measures import predictions as predictions_module
from eval_harness.measures import rank_statistics
from eval_harness.measures.datamodeling import lds_difference, lds_of_predictions, lds_of_scores
from eval_harness.measures.predictions import group_predictions
from eval_harness.measures.rank_statistics import Term, bootstrap, rank_correlations
from eval_harness.measures.reliability import noise_ceiling
from selection import DenseScores, EmbeddingScores, Scores
from selection.scores import BLOCK

POOLINGS = get_args(GroupPooling)


def _scores(targets=7, pool=60, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    return (spread * rng.standard_normal((targets, pool))).astype(np.float32)


def _subsets(pool=60, count=12, seed=0):
    """Of different sizes."""
    rng = np.random.default_rng(seed)
    return [rng.choice(pool, rng.integers(1, pool // 2), replace=False) for _ in range(count)]


def _losses(count=12, targets=7, seed=0, repeats=None):
    shape = (count, targets) if repeats is None else (count, repeats, targets)
    return np.random.default_rng(seed + 100).random(shape)


def _spearman(left, right):
    """Column by column."""
    pairs = zip(left.T, right.T, strict=True)
    return np.array([spearmanr(a, b).statistic for a, b in pairs])


# --- ranks and correlations ---


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 40), st.integers(1, 6), st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_correlations_are_scipys_with_any_ties(subsets, targets, values, seed):
    rng = np.random.default_rng(seed)
    left, right = rng.integers(0, values, (2, subsets, targets)).astype(float)
    left[:2], right[-2:] = [[-1.0], [1.5]], [[0.5], [-2.0]]  # neither is constant
    found = rank_correlations(left, right)
    np.testing.assert_allclose(found, _spearman(left, right), rtol=0, atol=1e-12)
    assert (np.abs(found) <= 1).all()


def test_a_constant_column_has_no_correlation():
    values = np.random.default_rng(0).random((5, 3))
    constant = values.copy()
    constant[:, 1] = 0.1
    for found in (rank_correlations(constant, values), rank_correlations(values, constant)):
        np.testing.assert_array_equal(np.isnan(found), [False, True, False])


def test_two_shapes_have_no_correlation():
    with pytest.raises(ArgumentError, match=r"one shape .* found \(4, 2\) and \(4, 3\)"):
        rank_correlations(np.zeros((4, 2)), np.zeros((4, 3)))


# --- group predictions ---


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("scale", [0.1, 1.0, 20.0])
def test_predictions_are_the_formula_in_torch(pooling, scale):
    scores, subsets = _scores(), _subsets()
    expected = [
        group_influence(torch.from_numpy(scores[:, rows]).double(), pooling=pooling, scale=scale)
        for rows in subsets
    ]
    found = group_predictions(scores, subsets, pooling, scale)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, torch.stack(expected).numpy(), rtol=1e-12, atol=1e-13)


def test_every_pooling_there_is():
    assert sorted(predictions_module.GROUP_POOLINGS) == sorted(POOLINGS)


def _by_logarithms(scores, subsets, scale):
    """f from log-sum-exps of the positive and the negative scores, a pair at a time."""
    found = np.empty((len(subsets), len(scores)))
    for i, rows in enumerate(subsets):
        for t, values in enumerate(scores[:, rows]):
            logits = scale * np.abs(values)
            logits -= logits.max()  # a large one would round what is added to it
            magnitudes = logits + np.log(np.abs(values)) - logsumexp(logits)
            found[i, t] = math.fsum(np.sign(values) * np.exp(magnitudes))
    return found


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e3, 1e5])
@pytest.mark.parametrize("block", [7, 1000])
def test_scores_that_span_thousands_of_nats_stay_exact(monkeypatch, scale, block):
    """Many subsets hold no row that has any weight next to the pool's largest."""
    monkeypatch.setattr(predictions_module, "BLOCK", block)
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.5, 1, (5, 60)) * 10.0 ** rng.uniform(-3, 1, (5, 60))
    scores[:, ::2] *= -1
    subsets = [*_subsets(), *np.arange(60)[:, None]]
    found = group_predictions(scores, subsets, "attention", scale)
    np.testing.assert_allclose(found, _by_logarithms(scores, subsets, scale), rtol=2e-12)


def test_the_test_above_can_fail(monkeypatch):
    """It is the second look at lost sums that keeps them exact."""
    monkeypatch.setattr(predictions_module, "_SAFE", -1.0)
    with np.errstate(all="ignore"):
        found = group_predictions(np.array([[1.0, 2.0, 3.0]]), [[0], [1], [0, 2]], scale=1e3)
    assert np.isnan(found[:2]).all()
    assert found[2] == 3.0


@pytest.mark.parametrize("pooling", POOLINGS)
def test_blocks_and_tiles_change_nothing_but_the_rounding(monkeypatch, pooling):
    scores, subsets = _scores(spread=5.0), _subsets()
    expected = group_predictions(scores, subsets, pooling, 3.0)
    for block, targets in itertools.product((1, 13, 60), (1, 4)):
        monkeypatch.setattr(predictions_module, "BLOCK", block)
        monkeypatch.setattr(predictions_module, "_TARGETS", targets)
        found = group_predictions(scores, subsets, pooling, 3.0)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_rows_that_are_in_no_subset_have_no_say():
    scores, subsets = _scores(pool=20), _subsets(20)
    wide = np.full((7, 200), 1e6, dtype=np.float32)
    wide[:, 3:200:10] = scores
    np.testing.assert_array_equal(
        group_predictions(wide, [3 + 10 * rows for rows in subsets]),
        group_predictions(scores, subsets),
    )


@pytest.mark.parametrize("pooling", POOLINGS)
def test_equal_subsets_and_equal_scores_tie_wherever_they_stand(pooling):
    scores = np.full((4, 3000), 0.1, dtype=np.float32)
    scores[1:] = _scores(3, 3000)
    rng = np.random.default_rng(0)
    rows = rng.choice(3000, 700, replace=False)
    others = [rng.choice(3000, 700, replace=False) for _ in range(20)]
    found = group_predictions(scores, [rows, *others, rng.permutation(rows)], pooling, 5.0)
    np.testing.assert_array_equal(found[0], found[-1])
    assert len(np.unique(found[:, 0])) == 1


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_score_matrix_gives_what_its_array_gives(pooling):
    """More columns than one block, computed when asked for."""
    rng = np.random.default_rng(0)
    targets, pool = rng.standard_normal((3, 4)), rng.standard_normal((BLOCK + 50, 4))
    matrix = EmbeddingScores(targets, pool, scale=4.0)
    subsets = _subsets(BLOCK + 50, 5)
    losses = _losses(5, 3)
    lazy = lds_of_scores(matrix, subsets, losses, pooling, draws=20)
    array = lds_of_scores(matrix.values(), subsets, losses, pooling, scale=4.0, draws=20)
    np.testing.assert_array_equal(lazy.per_target, array.per_target)
    assert str(lazy) == str(array)
    assert lazy.scale == array.scale == (4.0 if pooling == "attention" else None)


def test_a_score_matrix_never_exists_as_a_whole(monkeypatch):
    matrix = EmbeddingScores(np.ones((2, 3)), np.eye(BLOCK + 9, 3))
    monkeypatch.setattr(Scores, "values", lambda self: pytest.fail("asked for everything"))
    assert group_predictions(matrix, [[0, BLOCK + 1], [1]]).shape == (2, 2)


def test_the_scale_is_the_one_given_then_the_scores_then_one():
    scores, subsets, losses = _scores(), _subsets(), _losses()
    matrix = DenseScores(scores, scale=7.0)
    assert lds_of_scores(matrix, subsets, losses, draws=0).scale == 7.0
    assert lds_of_scores(matrix, subsets, losses, scale=2.0, draws=0).scale == 2.0
    assert lds_of_scores(scores, subsets, losses, draws=0).scale == 1.0
    assert not np.allclose(
        group_predictions(matrix, subsets), group_predictions(matrix, subsets, scale=2.0)
    )


# --- the score ---


@pytest.mark.parametrize("pooling", POOLINGS)
def test_lds_is_the_mean_of_scipys_correlations(pooling):
    scores, subsets, losses = _scores(), _subsets(), _losses()
    result = lds_of_scores(scores, subsets, losses, pooling, scale=3.0, draws=0)
    expected = _spearman(group_predictions(scores, subsets, pooling, 3.0), -losses)
    np.testing.assert_allclose(result.per_target, expected, rtol=0, atol=1e-12)
    assert result.mean == pytest.approx(expected.mean(), abs=1e-12)
    assert (result.subsets, result.undefined, result.ceiling) == (12, 0, None)
    assert math.isnan(result.low)
    assert math.isnan(result.high)


@pytest.mark.parametrize("sign", [1, -1])
def test_right_about_every_order_and_wrong_about_every_order(sign):
    predictions = np.random.default_rng(0).random((10, 4))
    result = lds_of_predictions(predictions, np.exp(-sign * predictions), draws=50)
    assert (result.mean, result.low, result.high) == (sign, sign, sign)


def test_chance_is_zero():
    rng = np.random.default_rng(0)
    result = lds_of_predictions(rng.random((40, 50)), rng.random((40, 50)), draws=200)
    assert result.low < 0 < result.high
    assert result.high - result.low < 0.2


def test_the_order_of_subsets_targets_and_rows_does_not_matter():
    scores, subsets, losses = _scores(), _subsets(), _losses(repeats=2)
    rng = np.random.default_rng(3)
    rows, targets, order = (rng.permutation(n) for n in (60, 7, 12))
    place = np.argsort(rows)
    moved = [place[rng.permutation(subsets[i])] for i in order]
    found = lds_of_scores(scores[targets][:, rows], moved, losses[order][:, :, targets], draws=0)
    expected = lds_of_scores(scores, subsets, losses, draws=0)
    np.testing.assert_array_equal(found.per_target, expected.per_target[targets])
    assert found.mean == pytest.approx(expected.mean, abs=1e-14)


def test_the_mean_over_repeats_is_what_counts():
    predictions, losses = np.random.default_rng(0).random((12, 7)), _losses(repeats=3)
    result = lds_of_predictions(predictions, losses, draws=0)
    np.testing.assert_allclose(
        result.per_target, _spearman(predictions, -losses.mean(axis=1)), atol=1e-12
    )
    assert result.ceiling == replace(noise_ceiling(losses, draws=0), low=result.ceiling.low,
                                     high=result.ceiling.high)  # fmt: skip


def test_targets_without_a_correlation_are_counted_and_left_out():
    scores, losses = _scores(), _losses()
    scores[2] = 0.1
    losses[:, 5] = 0.3
    result = lds_of_scores(scores, _subsets(), losses, draws=30)
    assert np.flatnonzero(np.isnan(result.per_target)).tolist() == [2, 5]
    kept = [0, 1, 3, 4, 6]
    alone = lds_of_scores(scores[kept], _subsets(), losses[:, kept], draws=30)
    assert result.undefined == 2
    assert (result.mean, result.low, result.high) == (alone.mean, alone.low, alone.high)
    assert "2 of the targets undefined" in str(result)


def test_a_result_reads_like_a_sentence():
    result = lds_of_predictions(_losses(12, 7, 1), _losses(repeats=2), draws=0)
    result = replace(
        result, mean=0.4721, low=0.441, high=0.5019, subsets=100,
        ceiling=replace(result.ceiling, attainable=0.934),
    )  # fmt: skip
    assert str(result) == "0.472 [0.441, 0.502] over 100 subsets × 7 targets (ceiling 0.93)"
    assert str(replace(result, low=math.nan, ceiling=None)) == "0.472 over 100 subsets × 7 targets"


# --- the bootstrap ---


def test_a_resample_is_scipys_correlation_of_the_repeated_subsets():
    """Of two variables with ties; every draw, and the targets' own resampling."""
    subsets, targets, draws, seed = 9, 4, 20, 5
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, 6, (2, subsets, targets)).astype(float)
    streams = np.random.default_rng(seed).spawn(2)
    times, weights = (
        stream.multinomial(n, np.full(n, 1 / n), size=draws)
        for stream, n in zip(streams, (subsets, targets), strict=True)
    )
    expected = []
    for chosen, weight in zip(times, weights, strict=True):
        rows = np.repeat(np.arange(subsets), chosen)
        expected.append(np.average(_spearman(left[rows], right[rows]), weights=weight))
    found = bootstrap([left, right], [Term(0, 1)], draws=draws, seed=seed)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_draw_of_one_subset_only_has_no_correlation():
    values = np.arange(3.0)[:, None]
    found = bootstrap([values, values], [Term(0, 1)], draws=200, seed=0)
    assert set(found[~np.isnan(found)]) == {1.0}
    assert 5 < np.isnan(found).sum() < 50  # 1 in 9


def test_the_seed_decides_and_the_tiles_do_not(monkeypatch):
    predictions, losses = np.random.default_rng(0).random((12, 7)), _losses()
    first = lds_of_predictions(predictions, losses, draws=100, seed=1)
    assert first.low < first.mean < first.high
    assert first.low == lds_of_predictions(predictions, losses, draws=100, seed=1).low
    assert first.low != lds_of_predictions(predictions, losses, draws=100, seed=2).low
    monkeypatch.setattr(rank_statistics, "_DRAWS", 7)
    tiled = lds_of_predictions(predictions, losses, draws=100, seed=1)
    assert (tiled.low, tiled.high) == (first.low, first.high)


def test_more_confidence_is_a_wider_interval():
    predictions, losses = np.random.default_rng(0).random((12, 7)), _losses()
    widths = []
    for confidence in (0.5, 0.8, 0.99):
        result = lds_of_predictions(predictions, losses, draws=200, confidence=confidence)
        widths.append(result.high - result.low)
    assert widths == sorted(set(widths))


def _noisy(rng, subsets, targets):
    """Predictions and losses whose noise is partly the subset's, shared by all targets."""
    predictions = rng.standard_normal((subsets, targets)) + 0.7 * rng.standard_normal((subsets, 1))
    noise = rng.standard_normal((subsets, targets)) + 0.7 * rng.standard_normal((subsets, 1))
    return predictions, -(rng.uniform(0.2, 1.2, targets) * predictions + noise)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    truth = lds_of_predictions(*_noisy(rng, 2000, 500), draws=0).mean
    held = 0
    for seed in range(60):
        sample = _noisy(rng, 40, 15)
        result = lds_of_predictions(*sample, draws=100, confidence=0.8, seed=seed)
        held += result.low <= truth <= result.high
    assert 0.65 <= held / 60 <= 0.95  # 0.8 ± 3 standard errors


# --- differences ---


def test_a_difference_is_the_difference_of_two_scores():
    rng = np.random.default_rng(0)
    losses = _losses(30, 7, repeats=2)
    signal = -losses.mean(axis=1)
    better = signal + 0.1 * rng.standard_normal((30, 7))
    worse = better + 0.3 * rng.standard_normal((30, 7))
    found = lds_difference(better, worse, losses, draws=200)
    a, b = (lds_of_predictions(p, losses, draws=200) for p in (better, worse))
    assert found.mean == pytest.approx(a.mean - b.mean, abs=1e-12)
    assert 0 < found.low < found.mean < found.high
    back = lds_difference(worse, better, losses, draws=200)
    np.testing.assert_allclose((back.low, back.high), (-found.high, -found.low), atol=1e-12)
    same = lds_difference(better, better, losses, draws=50)
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_pairing_makes_the_interval_of_a_difference_narrower():
    rng = np.random.default_rng(0)
    predictions, losses = _noisy(rng, 30, 10)
    other = predictions + 0.05 * rng.standard_normal(predictions.shape)
    paired = lds_difference(predictions, other, losses, draws=200)
    single = lds_of_predictions(predictions, losses, draws=200)
    assert paired.high - paired.low < 0.5 * (single.high - single.low)


def test_targets_undefined_for_one_predictor_are_left_out_of_both():
    losses = _losses()
    predictions = np.random.default_rng(0).random((12, 7))
    blind = -losses
    blind[:, 3] = 1.0
    expected = 1 - np.delete(_spearman(predictions, -losses), 3).mean()
    assert lds_difference(blind, predictions, losses, draws=0).mean == pytest.approx(expected)


# --- the ceiling ---


@pytest.mark.parametrize("repeats", [2, 3, 5])
@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_the_ceiling_of_data_whose_reliability_is_known(repeats, noise):
    """Normal, so a Pearson correlation r is a Spearman one of 6/π asin(r/2)."""

    def spearman(r):
        return 6 / np.pi * np.asarray(np.arcsin(r / 2))

    rng = np.random.default_rng(repeats)
    signal = rng.standard_normal((500, 1, 40))
    losses = signal + noise * rng.standard_normal((500, repeats, 40))
    found = noise_ceiling(losses, draws=60)
    assert found.single == pytest.approx(float(spearman(1 / (1 + noise**2))), abs=0.015)
    assert found.low < found.single < found.high
    assert found.repeats == repeats
    of_mean = 1 / (1 + noise**2 / repeats)
    assert found.corrected == pytest.approx(float(spearman(of_mean)), abs=0.03)
    reached = lds_of_predictions(-signal[:, 0], losses, draws=0)
    assert found.attainable == pytest.approx(reached.mean, abs=0.02)
    assert reached.ceiling.attainable == found.attainable


def test_single_is_the_mean_over_pairs_of_runs():
    losses = _losses(repeats=3)
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = np.mean([_spearman(losses[:, i], losses[:, j]) for i, j in pairs])
    assert noise_ceiling(losses, draws=0).single == pytest.approx(expected, abs=1e-12)


def test_runs_that_agree_perfectly_and_runs_that_disagree():
    losses = _losses()
    agree = noise_ceiling(np.stack([losses, 2 * losses], axis=1), draws=20)
    assert (agree.single, agree.low, agree.corrected, agree.attainable) == (1, 1, 1, 1)
    disagree = noise_ceiling(np.stack([losses, -losses], axis=1), draws=20)
    assert (disagree.single, disagree.corrected, disagree.attainable) == (-1, 0, 0)


@pytest.mark.parametrize("repeats", [None, 1])
def test_one_run_has_no_ceiling(repeats):
    assert noise_ceiling(_losses(repeats=repeats)) is None


# --- what is refused ---


@pytest.mark.parametrize(
    ("subset", "message"),
    [
        ([], "subset 1 .* is empty"),
        ([3, 60], "subset 1 .* holds row 60; the pool's rows are 0 to 59"),
        ([-1, 3], "subset 1 .* holds row -1"),
        ([4, 3, 4], "subset 1 .* holds row 4 more than once"),
        ([0.5], "subset 1 .*: expected a list of integer"),
        (np.zeros(60, dtype=bool), "flatnonzero"),
        ([[1, 2]], r"of shape \(1, 2\)"),
    ],
)
def test_subsets_that_cannot_be(subset, message):
    with pytest.raises(ArgumentError, match=message):
        lds_of_scores(_scores(), [[1, 2], subset, [3]], _losses(3))


def test_no_subsets_at_all():
    with pytest.raises(ArgumentError, match="no subsets"):
        group_predictions(_scores(), [])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("column", [11, 59])
def test_broken_scores_are_named(monkeypatch, value, column):
    """Whether or not a subset holds the row."""
    monkeypatch.setattr(predictions_module, "BLOCK", 20)
    scores = _scores()
    scores[4, column] = value
    with pytest.raises(EmbeddingError, match=f"target 4 and pool row {column} .* is {value}"):
        lds_of_scores(scores, [[1], [11], [3]], _losses(3))


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (0, 3)])
def test_scores_of_another_shape(shape):
    with pytest.raises(EmbeddingError, match=r"expected \(targets, pool\), found shape"):
        group_predictions(np.zeros(shape), [[0]])


def test_predictions_that_overflow_are_named():
    with pytest.raises(EmbeddingError, match=r"subset 0 and target 1 .* too large"):
        lds_of_scores(
            np.array([[1.0, 2, 3], [1e300, 1, 2]]), [[0], [1], [2]], _losses(3, 2), scale=1e300
        )


def test_broken_losses_are_named():
    losses = _losses(repeats=2)
    losses[3, 1, 5] = np.nan
    with pytest.raises(ArgumentError, match=r"subset 3 on target 5 \(repeat 1, .* is nan"):
        lds_of_scores(_scores(), _subsets(), losses)


@pytest.mark.parametrize("shape", [(12,), (12, 2, 7, 1), (12, 0, 7), (12, 0)])
def test_losses_of_another_shape(shape):
    with pytest.raises(ArgumentError, match=r"expected \(subsets, targets\) or .* found shape"):
        lds_of_scores(_scores(), _subsets(), np.zeros(shape))


@pytest.mark.parametrize("shape", [(7, 12), (11, 7), (12, 2, 8)])
def test_losses_that_do_not_fit_the_scores(shape):
    with pytest.raises(ArgumentError, match=r"\(subsets, targets\) .* predictions for \(12, 7\)"):
        lds_of_scores(_scores(), _subsets(), np.zeros(shape))


def test_two_subsets_are_too_few():
    with pytest.raises(ArgumentError, match="at least 3, found 2"):
        lds_of_scores(_scores(), [[1], [2]], _losses(2))


def test_nothing_to_correlate_is_explained():
    with pytest.raises(ArgumentError, match="none of 7 targets has a rank correlation"):
        lds_of_scores(np.zeros((7, 60)), _subsets(), _losses())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"draws": -1}, "draws should be 0"),
        ({"confidence": 1.0}, "confidence should lie between 0 and 1"),
        ({"scale": 0.0}, "scale should be a finite number > 0"),
        ({"pooling": "max"}, "pooling 'max' is unknown; choose from"),
    ],
)
def test_options_that_cannot_be(option, message):
    with pytest.raises(ArgumentError, match=message):
        lds_of_scores(_scores(), _subsets(), _losses(), **option)
