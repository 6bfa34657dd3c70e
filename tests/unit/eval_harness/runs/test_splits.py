"""Supervision in splits."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airrep.errors import ArgumentError
from airrep.records import Example
from eval_harness.runs.splits import SupervisionConfig, draw_splits

WORDS = ["river", "stone", "green", "why", "two", "what", "apple", "moon", "iron", "cloud"]


def rows_of(count, kind):
    rng = np.random.default_rng(count)
    return [
        Example(
            f"{kind}{i}", " ".join(rng.choice(WORDS, 4)), f"{kind} {i}", "abcdef"[i % 6], row=i
        )
        for i in range(count)
    ]  # fmt: skip


POOL, EXAMPLES = rows_of(90, "row"), rows_of(31, "asked")
CONFIG = SupervisionConfig(splits=3, size=5, uniform=4, few_sources=3, selected=2, repeats=2)


@given(
    rows=st.integers(1, 60), examples=st.integers(1, 20), splits=st.integers(1, 6),
    seed=st.integers(0, 2**32),
)  # fmt: skip
def test_pool_and_examples_are_dealt_out(rows, examples, splits, seed):
    config = SupervisionConfig(splits=splits, size=1, uniform=2)
    pool, asked = POOL[:rows], EXAMPLES[:examples]
    if min(rows, examples) < splits:
        with pytest.raises(ArgumentError, match="too small"):
            draw_splits(pool, asked, config, seed)
        return
    drawn = draw_splits(pool, asked, config, seed)
    assert len(drawn) == splits
    for given_rows, parts in (
        (pool, [split.pool for split in drawn]),
        (asked, [split.evaluation for split in drawn]),
    ):
        assert Counter(e.id for part in parts for e in part) == Counter(e.id for e in given_rows)
        sizes = [len(part) for part in parts]
        assert max(sizes) - min(sizes) <= 1
        for part in parts:
            assert [e.row for e in part] == sorted(e.row for e in part)


def test_each_split_has_a_plan_of_its_own():
    drawn = draw_splits(POOL, EXAMPLES, CONFIG, seed=7)
    for split in drawn:
        plan = split.plan
        plan.check(split.pool, split.evaluation)
        assert plan.kinds == ["uniform"] * 4 + ["few_sources"] * 3 + ["selected"] * 2
        assert [len(rows) for rows in plan.subsets] == [5] * 9
        assert all(0 <= rows.min() <= rows.max() < 30 for rows in plan.subsets)
        assert all(len(set(rows.tolist())) == 5 for rows in plan.subsets)
        assert plan.repeats == 2
        assert {k: v.tolist() for k, v in plan.roles.items()} == {
            "train": list(range(len(split.evaluation)))
        }
        for rows in plan.subsets[4:7]:
            assert len({split.pool[i].source for i in rows}) <= 4
    assert len({split.plan.seed for split in drawn}) == 3
    assert len({split.plan.subsets[0].tobytes() for split in drawn}) > 1
    seeds = [split.plan.run_seed(*run) for split in drawn for run in split.plan.runs]
    assert len(set(seeds)) == len(seeds)


def test_selected_rows_are_like_some_examples():
    """Their words are: by BM25, for a few of the split's own examples."""
    config = SupervisionConfig(splits=1, size=4, uniform=2, selected=12)
    pool = [Example(str(i), WORDS[i % 10] + " " + WORDS[i % 10], str(i), row=i) for i in range(60)]
    asked = [Example(f"a{i}", WORDS[i], "?", row=i) for i in range(2)]
    (split,) = draw_splits(pool, asked, config)
    for rows in split.plan.subsets[2:]:
        words = Counter(split.pool[i].prompt.split()[0] for i in rows)
        assert words[WORDS[0]] + words[WORDS[1]] == 4


def test_a_kind_can_be_the_only_one():
    for kind in ("uniform", "few_sources", "selected"):
        config = SupervisionConfig(splits=2, size=5, **{"uniform": 0, kind: 3})
        for split in draw_splits(POOL, EXAMPLES, config):
            assert split.plan.kinds == [kind] * 3


def test_the_seed_decides():
    first, again, other = (draw_splits(POOL, EXAMPLES, CONFIG, seed) for seed in (0, 0, 1))
    assert [s.plan.fingerprint for s in first] == [s.plan.fingerprint for s in again]
    assert [s.pool for s in first] == [s.pool for s in again]
    assert [s.evaluation for s in first] == [s.evaluation for s in again]
    for split, changed in zip(first, other, strict=True):
        assert {e.id for e in split.pool} != {e.id for e in changed.pool}
        assert {e.id for e in split.evaluation} != {e.id for e in changed.evaluation}
        assert split.plan.fingerprint != changed.plan.fingerprint


def test_more_subsets_leave_the_first_as_they_were():
    """So that finished runs are of use after the plan has grown."""
    few, many = (
        draw_splits(POOL, EXAMPLES, SupervisionConfig(splits=3, size=5, uniform=count))
        for count in (3, 6)
    )
    for before, after in zip(few, many, strict=True):
        assert before.pool == after.pool
        for rows, same in zip(before.plan.subsets, after.plan.subsets[:3], strict=True):
            assert rows.tolist() == same.tolist()


@pytest.mark.parametrize(
    ("pool", "examples", "size"), [(90, 2, 5), (90, 31, 31), (14, 31, 5), (0, 31, 1), (90, 0, 5)]
)
def test_too_little_for_the_splits(pool, examples, size):
    config = SupervisionConfig(splits=3, size=size, uniform=2)
    with pytest.raises(
        ArgumentError, match=rf"3 splits of {pool} pool rows and {examples} examples are too small"
    ):
        draw_splits(POOL[:pool], EXAMPLES[:examples], config)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("splits", 0), ("size", 0), ("uniform", -1), ("few_sources", -1), ("selected", -1),
     ("repeats", 0)],
)  # fmt: skip
def test_settings_out_of_range(setting, value):
    with pytest.raises(ArgumentError, match=rf"supervision\.{setting}: expected int >= ., found"):
        SupervisionConfig(**{setting: value})


def test_one_subset_teaches_nothing():
    with pytest.raises(ArgumentError, match="2 subsets or more per split"):
        SupervisionConfig(uniform=0, few_sources=1)


def test_an_example_that_is_also_a_pool_row():
    config = SupervisionConfig(splits=1, size=5, uniform=2)
    with pytest.raises(ArgumentError, match="is also pool row"):
        draw_splits(POOL, [*EXAMPLES, POOL[3]], config)
