from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airrep.errors import ArgumentError
from airrep.records import Example
from eval_harness.runs.subsets import (
    FewSources,
    Selected,
    Stratified,
    Uniform,
    default_size,
    default_subsets,
    draw_plan,
    subset_size,
)
from selection.scores import DenseScores
from selection.selectors.top_k import TopK

EVALUATION = [Example(f"e{i}", "asked", f"answer {i}") for i in range(20)]


def pool_of(counts):
    """Rows of sources a, b, c …, so many of each, mixed."""
    sources = [chr(ord("a") + s) for s, count in enumerate(counts) for _ in range(count)]
    order = np.random.default_rng(0).permutation(len(sources))
    return [Example(str(i), f"question {i}", "x", source=sources[j]) for i, j in enumerate(order)]


POOL = pool_of([30, 20, 9, 1])
SCORES = DenseScores(np.random.default_rng(2).normal(size=(8, 60)))
counts_of_sources = st.lists(st.integers(1, 30), min_size=1, max_size=8)


def one(draw, pool, seed=0):
    found = draw(pool, np.random.default_rng(seed))
    assert found.dtype == np.int64
    assert (np.diff(found) > 0).all()
    assert len(found) == 0 or (found[0] >= 0 and found[-1] < len(pool))
    return found


@given(counts=counts_of_sources, share=st.floats(0.01, 1), seed=st.integers(0, 1000))
def test_draws_have_the_size_asked_for(counts, share, seed):
    pool = pool_of(counts)
    size = max(1, round(share * len(pool)))
    for draw in (Uniform(size), Stratified(size), FewSources(size)):
        assert len(one(draw, pool, seed)) == size


@given(counts=counts_of_sources, share=st.floats(0.01, 1), seed=st.integers(0, 1000))
def test_stratified_shares_are_the_pools(counts, share, seed):
    pool = pool_of(counts)
    size = max(1, round(share * len(pool)))
    drawn = Counter(pool[i].source for i in one(Stratified(size), pool, seed))
    for source, count in Counter(e.source for e in pool).items():
        assert abs(drawn[source] - count * size / len(pool)) < 1


def test_uniform_rows_are_equally_likely():
    drawn = Counter(i for seed in range(600) for i in one(Uniform(20), POOL, seed).tolist())
    assert set(drawn) == set(range(60))
    assert all(130 <= count <= 270 for count in drawn.values())  # 200 expected, 6 deviations


@given(counts=counts_of_sources, share=st.floats(0.01, 1), seed=st.integers(0, 1000))
def test_few_sources_are_few(counts, share, seed):
    pool = pool_of(counts)
    size = max(1, round(share * len(pool)))
    found = {pool[i].source for i in one(FewSources(size, most=2), pool, seed)}
    members = Counter(e.source for e in pool)
    # with the smallest ones at worst: so many sources have to be opened
    needed = next(n for n in range(1, 9) if sum(sorted(members.values())[:n]) >= size)
    assert len(found) <= max(2, needed)


def test_few_sources_vary():
    found = [
        frozenset(POOL[i].source for i in one(FewSources(5, most=2), POOL, s)) for s in range(60)
    ]
    assert {len(sources) for sources in found} == {1, 2}
    assert len(set(found)) > 5


def test_selected_rows_are_the_selectors():
    found = one(Selected(10, SCORES, TopK(), most_targets=1), POOL)
    values = SCORES.values()
    best = [set(np.argsort(-row, kind="stable")[:10].tolist()) for row in values]
    assert set(found.tolist()) in best


@pytest.mark.parametrize("size", [0, 61])
@pytest.mark.parametrize("kind", [Uniform, Stratified, FewSources])
def test_sizes_that_are_not_possible(size, kind):
    with pytest.raises(ArgumentError, match=f"a subset of {size} rows from a pool of 60"):
        draw_plan(POOL, EVALUATION, [(kind(size), 1)])


def test_scores_of_another_pool():
    with pytest.raises(ArgumentError, match="expected 59 pool rows, found 60"):
        draw_plan(POOL[1:], EVALUATION, [(Selected(3, SCORES, TopK()), 1)])


DRAWS = [(Uniform(5), 3), (Stratified(6), 2), (FewSources(7), 2), (Selected(9, SCORES, TopK()), 2)]


def test_a_plan_lists_the_draws_in_order():
    plan = draw_plan(POOL, EVALUATION, DRAWS, repeats=2, seed=4)
    assert plan.kinds == (
        ["uniform"] * 3 + ["stratified"] * 2 + ["few_sources"] * 2 + ["selected"] * 2
    )  # fmt: skip
    assert [len(rows) for rows in plan.subsets[:7]] == [5, 5, 5, 6, 6, 7, 7]
    assert len(plan.runs) == 18
    assert plan.runs[:3] == [(0, 0), (0, 1), (1, 0)]
    assert len({plan.run_seed(*run) for run in plan.runs}) == 18
    assert plan.roles["test"].tolist() == list(range(20))
    plan.check(POOL, EVALUATION)


def test_a_plan_is_the_same_for_the_same_seed():
    plans = [draw_plan(POOL, EVALUATION, DRAWS, seed=seed) for seed in (1, 1, 2)]
    assert plans[0].fingerprint == plans[1].fingerprint != plans[2].fingerprint
    assert [r.tolist() for r in plans[0].subsets] != [r.tolist() for r in plans[2].subsets]


@given(count=st.integers(1, 12), seed=st.integers(0, 2**40))
def test_a_subset_does_not_depend_on_how_many_are_drawn(count, seed):
    few, many = (draw_plan(POOL, EVALUATION, [(Uniform(5), n)], seed=seed) for n in (count, 15))
    for one_of_few, same in zip(few.subsets, many.subsets[:count], strict=True):
        np.testing.assert_array_equal(one_of_few, same)
    assert few.run_seed(count - 1, 0) == many.run_seed(count - 1, 0)


def test_an_evaluation_example_in_the_pool_is_refused():
    known = Example("other id", POOL[7].prompt, POOL[7].completion, row=3)
    expected = r"evaluation row 3 \(id 'other id'\) is also pool row 0 \(id '7'\)"
    with pytest.raises(ArgumentError, match=expected):
        draw_plan(POOL, [*EVALUATION[:3], known], [(Uniform(5), 1)])


@pytest.mark.parametrize(
    ("pool", "evaluation", "draws", "repeats"),
    [
        ([], EVALUATION, [(Uniform(1), 1)], 1),
        (POOL, [], [(Uniform(1), 1)], 1),
        (POOL, EVALUATION, [], 1),
        (POOL, EVALUATION, [(Uniform(1), 0)], 1),
        (POOL, EVALUATION, [(Uniform(1), 1)], 0),
    ],
)
def test_nothing_to_do(pool, evaluation, draws, repeats):
    with pytest.raises(ArgumentError, match="a plan needs pool rows"):
        draw_plan(pool, evaluation, draws, repeats=repeats)


@pytest.mark.parametrize(
    "roles",
    [{"a": [0, 1], "b": [1, 2]}, {"a": [0, 0]}, {"a": [20]}, {"a": [-1]}, {"a": [0], "b": []}, {}],
)
def test_roles_that_cannot_be(roles):
    roles = {name: np.array(rows, dtype=np.int64) for name, rows in roles.items()}
    with pytest.raises(ArgumentError, match=r"they overlap, are empty, or name positions beyond"):
        draw_plan(POOL, EVALUATION, [(Uniform(5), 1)], roles=roles)


@pytest.mark.parametrize(
    ("size", "expected"), [(1, 1), (60, 60), (0.5, 30), (0.02, 1), (0.999, 60), (7.0, 7)]
)
def test_sizes_in_rows_and_fractions(size, expected):
    found = subset_size(size, 60)
    assert found == expected
    assert type(found) is int


@pytest.mark.parametrize("size", [0, -1, 61, 0.001, 2.5, float("nan"), float("inf")])
def test_sizes_out_of_range(size):
    with pytest.raises(ArgumentError, match=r"out of range; expected a fraction .* or 1 to 60"):
        subset_size(size, 60)


@pytest.mark.parametrize(
    ("rows", "size", "subsets"),
    [(100_000, 100, 100), (600, 100, 100), (300, 100, 60), (75, 25, 60), (9, 3, 60), (1, 1, 20)],
)
def test_few_rows_have_smaller_subsets_and_fewer_of_them(rows, size, subsets):
    assert default_size(rows) == size
    assert default_subsets(rows, size, 100) == subsets


def test_there_are_always_some_subsets():
    assert default_subsets(100, 80, 100) == 25
    assert default_subsets(100, 100, 3) == 3
    assert default_subsets(10, 100, 100) == 10
