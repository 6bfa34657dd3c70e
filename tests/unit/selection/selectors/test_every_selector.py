"""What holds for every selector."""

import numpy as np
import pytest

from airrep.errors import ArgumentError, EmbeddingError
from selection import scores as scores_module
from selection.constraints import BoundConstraints, Constraints
from selection.scores import EmbeddingScores
from selection.selectors import SELECTORS, make_selector
from selection.selectors.lowest_mean import LowestMean
from selection.weights import target_weights

WEIGHTS = [1, 2, 0.5, 0.25, 4]

every_selector = pytest.mark.parametrize("name", SELECTORS)


def _matrix(values):
    """The values as inner products, since herding asks for embeddings."""
    targets, pool = values.shape
    return EmbeddingScores(
        np.eye(targets),
        np.ascontiguousarray(values.T),
        target_ids=[f"target {i}" for i in range(targets)],
        pool_ids=[f"row {i}" for i in range(pool)],
        scale=5.0,
    )


def _same(one, other):
    np.testing.assert_array_equal(one.indices, other.indices)
    np.testing.assert_array_equal(one.gains, other.gains)
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.targets, other.targets)
    np.testing.assert_array_equal(one.layers, other.layers)
    curves = one.objective, other.objective
    assert curves == (None, None) or (curves[0].values == curves[1].values).all()


@every_selector
def test_what_comes_back(name, normal_scores):
    values = normal_scores()
    chosen = make_selector(name).select(_matrix(values), 12)
    assert len(chosen) == 12
    assert chosen.method == make_selector(name).name == name
    for array, dtype in (
        (chosen.indices, np.int64),
        (chosen.gains, np.float64),
        (chosen.scores, np.float32),
        (chosen.targets, np.int64),
        (chosen.layers, np.int64),
    ):
        assert (array.shape, array.dtype) == ((12,), dtype)
    assert chosen.ids == [f"row {i}" for i in chosen.indices]
    assert chosen.target_ids == [f"target {i}" for i in range(5)]
    assert chosen.shortlist is None
    assert set(chosen.targets.tolist()) <= set(range(5))
    np.testing.assert_array_equal(chosen.scores, values[chosen.targets, chosen.indices])


@every_selector
def test_no_row_is_chosen_twice_and_at_k_equal_to_the_pool_every_row_is(name, normal_scores):
    chosen = make_selector(name).select(_matrix(normal_scores()), 40, weights=WEIGHTS)
    np.testing.assert_array_equal(np.sort(chosen.indices), np.arange(40))


@every_selector
@pytest.mark.parametrize("scale", [0.5, 20.0])
def test_every_prefix_is_the_selection_of_its_own_size(name, normal_scores, scale):
    matrix = _matrix(np.round(normal_scores(), 1))
    selector = make_selector(name, scale=scale)
    whole = selector.select(matrix, 40, weights=WEIGHTS)
    for k in (1, 2, 7, 20, 39):
        part = selector.select(matrix, k, weights=WEIGHTS)
        for field in ("indices", "gains", "scores", "targets", "layers"):
            np.testing.assert_array_equal(getattr(part, field), getattr(whole, field)[:k])


@pytest.mark.parametrize("name", [*SELECTORS, "lowest_mean"])
@pytest.mark.parametrize("scale", [0.5, 5.0])
@pytest.mark.parametrize("constrained", [False, True])
def test_gains_are_the_changes_of_the_objective(name, normal_scores, scale, constrained):
    """Against the objective of every prefix, computed from its definition."""
    values = normal_scores()
    share = target_weights(WEIGHTS, 5)
    selector = LowestMean() if name == "lowest_mean" else make_selector(name, scale=scale)
    bound = None
    if constrained:
        asked = Constraints(include=["row 9"], max_per_source={"odd": 9}, min_per_target=2)
        ids, sources = [f"row {i}" for i in range(40)], ["even", "odd"] * 20
        bound = BoundConstraints.bind(asked, ids, sources)
    chosen = selector.select(_matrix(values), 25, weights=WEIGHTS, constraints=bound)
    curve = chosen.objective
    if name in ("round_robin", "random"):
        assert curve is None is selector.objective
        assert np.isnan(chosen.gains).all()
        assert chosen.best_size is None
        return
    assert curve.objective == selector.objective
    values, rows = values.astype(np.float64), chosen.indices
    expected, changes = [], []
    for n in range(25):
        first = int(np.argmax(chosen.layers == chosen.layers[n]))  # of the pick's layer
        before, after = (_objective(name, values[:, rows[first:m]], share, scale)
                         for m in (n, n + 1))  # fmt: skip
        expected.append(after)
        changes.append(curve.objective.sign * (after - before))
    start = _objective(name, values[:, :0], share, scale)
    assert curve.start == pytest.approx(start, rel=1e-12)
    np.testing.assert_allclose(curve.values, expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(chosen.gains, changes, rtol=1e-6, atol=1e-6)
    ends = np.flatnonzero(np.diff(chosen.layers, append=chosen.layers[-1] + 1))
    whole = curve.objective.sign * (curve.values[ends] - curve.start).sum()
    assert chosen.gains.sum() == pytest.approx(whole, rel=1e-12)


def _objective(name, scores, share, scale):
    """Of the chosen rows, whose scores (targets, n) these are."""
    wanted = share @ np.eye(len(share))  # the targets' mean; rows are columns of the scores
    match name:
        case "herding":
            mean = scores.mean(axis=1) if scores.size else np.zeros(len(share))
            return np.square(wanted - mean).sum()
        case "coverage":
            return share @ np.log1p(np.exp(scale * scores).sum(axis=1)) / scale
        case "layered_greedy" | "plain_greedy":
            weights = np.exp(scale * np.abs(scores))
            sums = weights.sum(axis=1) if scores.size else np.ones(len(share))
            return share @ ((weights * scores).sum(axis=1) / sums)
        case "top_k_max":
            return (share[:, None] / share.max() * scores).max(axis=0).sum() if scores.size else 0
    return (share @ scores).sum()


@every_selector
def test_the_same_again(name, normal_scores):
    values = normal_scores()
    one, other = (make_selector(name).select(_matrix(values), 20) for _ in range(2))
    _same(one, other)


@every_selector
def test_the_pools_order_only_renames_rows(name, normal_scores):
    values = normal_scores()
    order = np.random.default_rng(1).permutation(40)
    selector = make_selector(name)
    chosen = selector.select(_matrix(values), 40, weights=WEIGHTS)
    moved = selector.select(_matrix(values[:, order]), 40, weights=WEIGHTS)
    if name == "random":
        np.testing.assert_array_equal(moved.indices, chosen.indices)  # blind to the rows
    else:
        np.testing.assert_array_equal(order[moved.indices], chosen.indices)
        np.testing.assert_array_equal(moved.gains, chosen.gains)


@every_selector
@pytest.mark.parametrize("seed", range(3))
def test_a_target_of_weight_zero_has_no_say(name, normal_scores, seed):
    """Whatever it likes, and however much: all is as if it were not there."""
    targets, pool = normal_scores(pool=8, seed=seed), normal_scores(targets=40, pool=8)
    liked = 100.0 * normal_scores(targets=1, pool=8, seed=seed + 10)
    place = seed * 2
    without = make_selector(name).select(EmbeddingScores(targets, pool), 40, weights=WEIGHTS)
    ignored = make_selector(name).select(
        EmbeddingScores(np.insert(targets, place, liked, axis=0), pool),
        40,
        weights=np.insert(WEIGHTS, place, 0.0),
    )
    np.testing.assert_array_equal(ignored.indices, without.indices)
    np.testing.assert_allclose(ignored.gains, without.gains, rtol=1e-12)
    np.testing.assert_array_equal(ignored.layers, without.layers)
    assert place not in ignored.targets
    np.testing.assert_array_equal(ignored.targets - (ignored.targets > place), without.targets)


@every_selector
def test_no_row_is_credited_to_a_target_of_weight_zero_even_if_it_hurts_all_others(name):
    values = np.array([[-1.0, -2.0, -3.0], [5.0, 5.0, 5.0]], dtype=np.float32)
    chosen = make_selector(name).select(_matrix(values), 3, weights=[1, 0])
    assert chosen.targets.tolist() == [0, 0, 0]


@every_selector
def test_only_the_proportions_of_weights_count(name, normal_scores):
    selector, matrix = make_selector(name), _matrix(normal_scores())
    one = selector.select(matrix, 30, weights=WEIGHTS)
    other = selector.select(matrix, 30, weights=[weight * 8 for weight in WEIGHTS])
    np.testing.assert_array_equal(one.indices, other.indices)


@every_selector
@pytest.mark.parametrize("width", [1, 7])
def test_the_width_of_blocks_changes_nothing(name, normal_scores, monkeypatch, width):
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((4, 8)), rng.standard_normal((50, 8))
    usual = make_selector(name).select(EmbeddingScores(*embeddings), 20)
    monkeypatch.setattr(scores_module, "BLOCK", width)
    _same(make_selector(name).select(EmbeddingScores(*embeddings), 20), usual)


@every_selector
def test_scores_and_weights_are_read_and_never_written(name, normal_scores):
    values, weights = normal_scores(), np.array(WEIGHTS)
    values.setflags(write=False)
    weights.setflags(write=False)
    make_selector(name).select(_matrix(values), 40, weights=weights)


@every_selector
def test_one_row_for_one_target(name):
    chosen = make_selector(name).select(_matrix(np.array([[-3.0]], dtype=np.float32)), 1)
    assert (chosen.indices.tolist(), chosen.targets.tolist()) == ([0], [0])
    assert chosen.scores.tolist() == [-3.0]


@every_selector
def test_rows_that_are_exactly_alike_come_in_their_order(name):
    chosen = make_selector(name).select(_matrix(np.full((13, 9), 0.3, dtype=np.float32)), 9)
    if name == "random":
        assert sorted(chosen.indices.tolist()) == list(range(9))
    else:
        np.testing.assert_array_equal(chosen.indices, np.arange(9))


@every_selector
def test_more_rows_than_the_pool_has(name, normal_scores):
    with pytest.raises(ArgumentError, match=r"k = 41 .* pool of 40 rows; choose k <= 40"):
        make_selector(name).select(_matrix(normal_scores()), 41)


@every_selector
@pytest.mark.parametrize("k", [0, -1])
def test_no_rows_at_all(name, normal_scores, k):
    with pytest.raises(ArgumentError, match=f"k should be at least 1, found {k}"):
        make_selector(name).select(_matrix(normal_scores()), k)


@every_selector
@pytest.mark.parametrize("k", [True, 2.5, 2.0, "2", None])
def test_a_number_of_rows_that_is_no_integer(name, normal_scores, k):
    with pytest.raises(ArgumentError, match="k should be an integer"):
        make_selector(name).select(_matrix(normal_scores()), k)


@every_selector
def test_an_integer_of_numpys_is_an_integer(name, normal_scores):
    assert len(make_selector(name).select(_matrix(normal_scores()), np.int32(3))) == 3


@every_selector
def test_weights_that_cannot_be_right(name, normal_scores):
    for weights in ([1, 2], [1, 2, 3, 4, -5], [0] * 5, [np.nan] * 5):
        with pytest.raises(ArgumentError, match="weights"):
            make_selector(name).select(_matrix(normal_scores()), 3, weights=weights)


@every_selector
def test_a_broken_embedding_is_an_error_and_never_a_choice(name):
    rng = np.random.default_rng(0)
    targets, pool = rng.standard_normal((3, 4)), rng.standard_normal((20, 4))
    pool[5] = np.nan
    with pytest.raises(EmbeddingError, match="pool row 5 "):
        make_selector(name).select(EmbeddingScores(targets, pool), 20)


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(ArgumentError, match="'best' is unknown") as error:
        make_selector("best")
    assert all(name in str(error.value) for name in SELECTORS)


def test_the_scale_and_the_seed_reach_the_selector():
    assert make_selector("layered_greedy", scale=3.0).scale == 3.0
    assert make_selector("plain_greedy", scale=3.0).scale == 3.0
    assert make_selector("coverage", scale=3.0).scale == 3.0
    assert make_selector("random", seed=3).seed == 3
    with pytest.raises(ArgumentError, match="scale"):
        make_selector("coverage", scale=-1.0)
