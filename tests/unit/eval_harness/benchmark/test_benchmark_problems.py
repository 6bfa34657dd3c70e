"""Selection problems: who may see what, in each of the four settings."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airrep.errors import ArgumentError
from airrep.records import Example
from eval_harness.benchmark.config import SETTINGS, SelectionConfig
from eval_harness.benchmark.problems import Problems, Rows, sample, swap_completions

SOURCES = ("colors", "cities", "rhymes")


def _rows(name, count, templates=3):
    """`count` rows of each source, in turns; completions from a few, as labels are."""
    examples = [
        Example(str(i), f"{name} {i} of {source}?", f"{source} {i % 5}", source, i)
        for i, source in enumerate(SOURCES * count)
    ]
    return Rows(examples, [f"template {i // 3 % templates}" for i in range(len(examples))])


def _problems(seed=0, files=None, **settings):
    given = files or (_rows("pool", 30), _rows("targets", 24), _rows("test", 20))
    config = SelectionConfig(**{"targets": 6, "evaluation": 8, "wrong_share": 0.4, **settings})
    return Problems(*given, config, seed)


def _texts(examples):
    return {(e.prompt, e.completion) for e in examples}


def _parts(problems, problem):
    """The pool, the targets and the evaluation rows."""
    evaluated = problems.test if problems.config.evaluate_on == "test" else problems.targets
    pool = problems.pool_of(problem.setting)
    return (
        [pool[i] for i in problem.pool],
        [problems.targets.examples[i] for i in problem.targets],
        [evaluated.examples[i] for i in problem.evaluation],
    )


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("evaluate_on", ["test", "validation"])
@settings(max_examples=12, deadline=None)
@given(st.integers(0, 99), st.sampled_from(SOURCES), st.integers(0, 9))
def test_pool_targets_and_evaluation_share_no_text(setting, evaluate_on, seed, source, draw):
    problems = _problems(seed, evaluate_on=evaluate_on)
    problem = problems.make(setting, source, draw)
    pool, targets, evaluation = _parts(problems, problem)
    assert len(targets) == 6
    assert 1 <= len(evaluation) <= 8
    assert len(pool) > 0
    assert {e.source for e in targets + evaluation} == {source}
    for one, other in ((pool, targets), (pool, evaluation), (targets, evaluation)):
        assert not _texts(one) & _texts(other)
    for places in (problem.pool, problem.targets, problem.evaluation):
        assert (np.diff(places) > 0).all(), "in order, without repeats"


def test_the_pool_is_what_the_setting_says():
    problems = _problems()
    whole = list(range(90))
    own = problems.pool.of_source("cities").tolist()
    assert problems.make("present", "cities", 0).pool.tolist() == whole
    assert problems.make("wrong_labels", "cities", 0).pool.tolist() == whole
    assert problems.make("removed", "cities", 0).pool.tolist() == sorted({*whole} - {*own})


@pytest.mark.parametrize("templates", [2, 3, 4])
def test_held_out_templates_are_on_one_side_only(templates):
    files = (_rows("pool", 30, templates), _rows("targets", 24, templates),
             _rows("test", 20, templates))  # fmt: skip
    problems = _problems(files=files)
    problem = problems.make("templates_held_out", "rhymes", 0)
    own = problems.pool.of_source("rhymes")
    kept = np.intersect1d(problem.pool, own)
    pool_side = {problems.pool.templates[i] for i in kept}
    asked = {problems.targets.templates[i] for i in problem.targets}
    asked |= {problems.test.templates[i] for i in problem.evaluation}
    assert pool_side
    assert asked
    assert not pool_side & asked
    assert set(np.setdiff1d(range(90), own)) <= set(problem.pool), "other sources stay whole"


def test_held_out_templates_need_two():
    files = (_rows("pool", 9), _rows("targets", 9, templates=1), _rows("test", 9))
    with pytest.raises(ArgumentError, match=r"source 'cities' has 1 prompt template; at least 2"):
        _problems(files=files).make("templates_held_out", "cities", 0)


def test_held_out_templates_may_leave_fewer_targets_but_not_under_five():
    files = (_rows("pool", 9), _rows("targets", 12, templates=2), _rows("test", 9, templates=2))
    problem = _problems(files=files, targets=11).make("templates_held_out", "cities", 0)
    assert len(problem.targets) == 6
    few = _rows("targets", 8, templates=2)
    with pytest.raises(ArgumentError, match=r"templates_held_out, cities: too few targets"):
        _problems(files=(files[0], few, files[2]), targets=7).make(
            "templates_held_out", "cities", 0
        )


# --- draws ---


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_draw_depends_on_seeds_and_nothing_else(setting):
    first, again = (_problems().make(setting, "cities", 1) for _ in range(2))
    for name in ("pool", "targets", "evaluation"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    moved = _problems(seed=1).make(setting, "cities", 1)
    assert first.targets.tolist() != moved.targets.tolist()


@pytest.mark.parametrize("setting", SETTINGS)
def test_seeds_have_targets_of_their_own_and_the_same_evaluation(setting):
    problems = _problems()
    made = [problems.make(setting, "cities", seed) for seed in range(6)]
    assert len({tuple(p.targets) for p in made}) == 6
    assert len({tuple(p.evaluation) for p in made}) == 1


def test_sources_have_draws_of_their_own():
    problems = _problems()
    ranks = [problems.make("present", source, 0).targets // 3 for source in SOURCES]
    assert len({tuple(rank) for rank in ranks}) == 3


def test_validation_never_shows_a_test_row():
    class Untouchable(Rows):
        def __getattribute__(self, name):
            assert name not in ("templates", "groups"), "the test file is not to be looked at"
            return super().__getattribute__(name)

    test = _rows("test", 20)
    files = (_rows("pool", 30), _rows("targets", 24), Untouchable(test.examples, test.templates))
    problems = _problems(files=files, evaluate_on="validation")
    changed = replace(test, examples=[replace(e, prompt=f"new {e.prompt}") for e in test.examples])
    others = _problems(files=(*files[:2], changed), evaluate_on="validation")
    for setting in SETTINGS:
        one, other = (p.make(setting, "cities", 2) for p in (problems, others))
        assert not _texts(_parts(problems, one)[2]) & _texts(test.examples)
        assert _texts(_parts(problems, one)[2]) == _texts(_parts(others, other)[2])


def test_sources_with_too_few_rows_are_left_out_or_refused():
    full = _rows("targets", 24)
    kept = [i for i, e in enumerate(full.examples) if e.source != "rhymes" or i < 18]
    few = Rows([full.examples[i] for i in kept], [full.templates[i] for i in kept])
    files = (_rows("pool", 30), few, _rows("test", 20))
    assert _problems(files=files).sources == ["cities", "colors"]
    assert _problems(files=files, sources=["colors", "cities"]).sources == ["colors", "cities"]
    with pytest.raises(
        ArgumentError,
        match=r"source 'rhymes': not enough rows; 6 targets and at least 1 evaluation row are "
        r"needed in the targets and test files, found 6 and 20\.",
    ):
        _ = _problems(files=files, sources=["cities", "rhymes"]).sources
    with pytest.raises(ArgumentError, match=r"source 'nowhere': not enough rows.* found 0 and 0"):
        _ = _problems(sources=["nowhere"]).sources
    with pytest.raises(ArgumentError, match=r"not enough rows; 99 targets"):
        _ = _problems(targets=99).sources


def test_a_pool_of_one_source_has_nothing_left_without_it():
    pool = _rows("pool", 30)
    own = [e for e in pool.examples if e.source == "cities"]
    files = (Rows(own, [""] * len(own)), _rows("targets", 24), _rows("test", 20))
    with pytest.raises(ArgumentError, match=r"removed, cities: too few targets, or no pool"):
        _problems(files=files).make("removed", "cities", 0)


# --- wrong labels ---


@st.composite
def _labeled(draw):
    """Rows of a few sources with a few completions each, none of which fills over a third."""
    rows = []
    for source in range(draw(st.integers(1, 3))):
        count = draw(st.integers(0, 40))
        labels = draw(st.integers(3, 9))
        rows += [(f"s{source}", f"label {i % labels}") for i in range(count)]
    order = draw(st.permutations(range(len(rows))))
    return [
        Example(str(place), f"prompt {place}", rows[i][1], rows[i][0], place)
        for place, i in enumerate(order)
    ]


@settings(max_examples=80, deadline=None)
@given(_labeled(), st.floats(0.01, 1.0), st.integers(0, 99))
def test_wrong_completions_are_the_sources_own_and_the_rows_are_known(examples, share, seed):
    changed, places = swap_completions(examples, share, seed)
    again = swap_completions(examples, share, seed)
    assert changed == again[0]
    differing = [i for i, (a, b) in enumerate(zip(examples, changed, strict=True)) if a != b]
    assert places.tolist() == differing
    for before, after in zip(examples, changed, strict=True):
        assert replace(after, completion=before.completion) == before, "nothing else changed"
    for source in {e.source for e in examples}:
        before, after = ([e for e in part if e.source == source] for part in (examples, changed))
        assert Counter(e.completion for e in before) == Counter(e.completion for e in after)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 1.0])
def test_as_many_are_wrong_as_was_asked_for(share):
    examples = _rows("pool", 100).examples
    changed, places = swap_completions(examples, share, 3)
    for source in SOURCES:
        wrong = [i for i in places if examples[i].source == source]
        assert len(wrong) == round(100 * share)
    assert len(_texts(changed) & _texts(examples)) == 300 - len(places)


def test_where_one_completion_fills_most_fewer_are_wrong():
    examples = [Example(str(i), f"p{i}", "yes" if i < 8 else "no", "s", i) for i in range(10)]
    places = swap_completions(examples, 1.0, 0)[1]
    assert len(places) == 4
    alike = [replace(e, completion="yes") for e in examples]
    assert swap_completions(alike, 1.0, 0)[1].size == 0
    assert swap_completions(alike[:1], 1.0, 0)[0] == alike[:1]


def test_only_the_setting_that_asks_for_it_sees_wrong_labels():
    problems = _problems()
    for setting in SETTINGS:
        is_wrong = problems.pool_of(setting) != problems.pool.examples
        assert is_wrong == (setting == "wrong_labels")


# --- files ---


def test_a_digest_is_that_of_texts_sources_and_templates():
    rows = _rows("pool", 3)
    first = rows.examples[0]
    assert rows.digest == _rows("pool", 3).digest
    changed = [
        Rows([replace(first, **{field: "new"}), *rows.examples[1:]], rows.templates)
        for field in ("prompt", "completion", "source")
    ]
    changed.append(replace(rows, templates=["new", *rows.templates[1:]]))
    assert len({each.digest for each in (rows, *changed)}) == 5
    kept = replace(rows, examples=[replace(first, id="new"), *rows.examples[1:]])
    assert kept.digest == rows.digest


def test_a_sample_keeps_its_order_and_must_be_there():
    examples = _rows("pool", 5).examples
    drawn = sample(examples, 7, 1)
    assert drawn == sample(examples, 7, 1) != sample(examples, 7, 2)
    assert [e.row for e in drawn] == sorted({e.row for e in drawn})
    assert sample(examples, 15, 0) == list(examples)
    for count in (0, 16):
        with pytest.raises(ArgumentError, match=rf"asked for {count} examples; there are 15"):
            sample(examples, count, 0)
