"""k = "auto": the size where a selector's objective is best, against all prefixes."""

import numpy as np
import pytest

from airrep.errors import ArgumentError, EmbeddingError
from selection.scores import DenseScores, EmbeddingScores
from selection.selectors import (
    SELECTORS,
    Coverage,
    GroupGreedy,
    Herding,
    TopK,
    check_sizes_itself,
    herding,
    make_selector,
)
from selection.selectors.base import SizesItself
from selection.selectors.lowest_mean import LowestMean
from selection.weights import target_weights

FIELDS = ("indices", "gains", "scores", "targets", "layers")


def _embedded(seed, rows=60, targets=4, dim=3, unit=False):
    rng = np.random.default_rng(seed)
    wanted, pool = rng.normal(size=(targets, dim)) + 0.5, rng.normal(size=(rows, dim))
    if unit:
        wanted, pool = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (wanted, pool))
    return EmbeddingScores(wanted.astype(np.float32), pool.astype(np.float32))


def _assert_is_the_selection_of_its_size(selector, scores, chosen, weights=None):
    same = selector.select(scores, len(chosen), weights=weights)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(chosen, name), getattr(same, name))
    np.testing.assert_array_equal(chosen.objective.values, same.objective.values)
    assert chosen.ids == same.ids


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("weights", [None, [3, 1, 0, 1]])
def test_herding_stops_at_the_smallest_distance_of_all_prefixes(unit, weights):
    late = 0
    for seed in range(40):
        scores = _embedded(seed, unit=unit, dim=3 + seed % 6)
        wanted, pool = (part.astype(np.float64) for part in scores.embeddings)
        whole = Herding().select(scores, 60, weights=weights)
        means = pool[whole.indices].cumsum(axis=0) / np.arange(1, 61)[:, None]
        distances = np.square(means - target_weights(weights, 4) @ wanted).sum(axis=1)
        chosen = Herding().select_best_size(scores, weights=weights)
        assert len(chosen) == np.argmin(distances) + 1
        _assert_is_the_selection_of_its_size(Herding(), scores, chosen, weights)
        turns = np.flatnonzero(np.diff(distances) > 0)
        late += bool(len(turns)) and len(chosen) > turns[0] + 1
    assert late > 5, "no case in which the distance grows and then falls below what it was"


def test_herding_need_not_pick_the_whole_pool_to_be_certain(monkeypatch):
    scores = _embedded(0, rows=3000, dim=64, unit=True)
    picks = []
    best = herding._Front.best
    monkeypatch.setattr(herding._Front, "best", lambda *given: picks.append(1) or best(*given))
    chosen = Herding().select_best_size(scores)
    assert len(chosen) <= len(picks) < 1000
    monkeypatch.undo()
    whole = Herding().select(scores, 1000)
    assert len(chosen) == whole.best_size


def test_herding_with_little_memory_stops_at_the_same_row(monkeypatch):
    scores = _embedded(3, rows=9000, dim=16)
    usual = Herding().select_best_size(scores)
    monkeypatch.setattr(herding, "_MEMORY", 1)
    monkeypatch.setattr(herding, "_MOST_BESIDE", 7)
    few = Herding().select_best_size(scores)
    assert few.indices.tolist() == usual.indices.tolist()


def test_herding_of_one_row_and_of_the_targets_themselves():
    one = EmbeddingScores(np.ones((1, 2)), np.ones((1, 2)))
    assert len(Herding().select_best_size(one)) == 1
    wanted = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    chosen = Herding().select_best_size(EmbeddingScores(wanted, wanted))
    assert chosen.objective.values[-1] < 1e-3 * chosen.objective.start


@pytest.mark.parametrize("layered", [True, False])
@pytest.mark.parametrize("scale", [0.5, 5.0])
@pytest.mark.parametrize("seed", range(5))
def test_greedy_stops_where_no_row_adds_to_the_group(normal_scores, layered, scale, seed):
    values, share = normal_scores(seed=seed).astype(np.float64), target_weights(None, 5)

    def influence(rows):
        weights = np.exp(scale * np.abs(values[:, rows]))
        return share @ ((weights * values[:, rows]).sum(axis=1) / weights.sum(axis=1))

    selector, scores = GroupGreedy(layered=layered, scale=scale), DenseScores(values)
    chosen = selector.select_best_size(scores)
    picked = chosen.indices.tolist()
    for n in range(1, len(picked) + 1):
        left = [row for row in range(40) if row not in picked[:n]]
        gains = [influence([*picked[:n], row]) - influence(picked[:n]) for row in left]
        assert (max(gains) > 1e-9) == (n < len(picked))
    assert not chosen.layers.any()
    _assert_is_the_selection_of_its_size(selector, scores, chosen)
    assert len(chosen) == selector.select(scores, 40).best_size or not layered


@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_coverage_stops_where_it_no_longer_grows(normal_scores, scale):
    values, share = normal_scores().astype(np.float64), target_weights(None, 5)
    selector, scores = Coverage(scale=scale), DenseScores(values)
    chosen = selector.select_best_size(scores)
    picks = selector.select(scores, 40).indices
    sums = np.exp(scale * values[:, picks]).cumsum(axis=1)
    prefixes = share @ np.log1p(sums) / scale
    resolution = 2.0**-24 * np.abs(values).max()
    growing = np.flatnonzero(np.diff(prefixes) > resolution)
    assert len(chosen) == growing[-1] + 2
    assert (len(chosen) == 40) == (scale == 1.0), "at a soft scale it grows to the end"
    _assert_is_the_selection_of_its_size(selector, scores, chosen)


@pytest.mark.parametrize("over", ["mean", "max"])
def test_top_k_stops_where_scores_are_no_longer_above_0(normal_scores, over):
    values = normal_scores() - (0.0 if over == "mean" else 1.0)
    pooled = values.mean(axis=0) if over == "mean" else values.max(axis=0)
    selector, scores = TopK(over), DenseScores(values)
    chosen = selector.select_best_size(scores)
    assert sorted(chosen.indices.tolist()) == np.flatnonzero(pooled > 0).tolist()
    _assert_is_the_selection_of_its_size(selector, scores, chosen)
    none = selector.select_best_size(DenseScores(-np.ones((2, 5))))
    assert none.indices.tolist() == [0]


def test_selectors_without_a_best_size_say_so_with_those_that_have_one():
    able = {name for name in SELECTORS if isinstance(make_selector(name), SizesItself)}
    assert able == set(SELECTORS) - {"round_robin", "random"}
    for selector in (make_selector("random"), make_selector("round_robin"), LowestMean()):
        with pytest.raises(ArgumentError, match="no objective that says how many") as error:
            check_sizes_itself(selector)
        assert selector.name in str(error.value)
        assert all(name in str(error.value) for name in able)
    for name in able:
        check_sizes_itself(make_selector(name))


def test_a_broken_embedding_is_named():
    wanted, pool = np.ones((2, 3)), np.ones((9, 3))
    pool[4, 1] = np.nan
    with pytest.raises(EmbeddingError, match="pool row 4 "):
        Herding().select_best_size(EmbeddingScores(wanted, pool))


def test_herding_of_scores_without_embeddings():
    with pytest.raises(ArgumentError, match="have none; choose layered_greedy"):
        Herding().select_best_size(DenseScores(np.ones((2, 5))))
