"""Rows that are kept apart stay apart."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airrep.errors import ArgumentError
from airrep.records import Example
from eval_harness.runs.held_out import check_disjoint, hold_out


def _rows(name, count):
    return [Example(str(i), f"{name} {i}?", f"answer {i % 3}", "s", i) for i in range(count)]


@pytest.mark.parametrize(
    ("to", "of", "message"),
    [
        ("targets", "pool", r"targets row 99 \(id 'x'\) is also pool row 4 \(id '4'\); remove"),
        ("test", "pool", r"test row 99 \(id 'x'\) is also pool row 4"),
        ("test", "targets", r"test row 99 \(id 'x'\) is also targets row 4"),
    ],
)
def test_a_row_in_two_files_is_refused(to, of, message):
    files = {name: _rows(name, 5) for name in ("pool", "targets", "test")}
    check_disjoint(files)
    same = replace(files[of][4], source="elsewhere", id="x", row=99)
    files[to] = [*files[to], same]
    with pytest.raises(ArgumentError, match=message):
        check_disjoint(files)


def test_the_same_prompt_with_another_completion_is_another_row():
    files = {name: _rows(name, 5) for name in ("pool", "test")}
    other = replace(files["pool"][4], completion="something else")
    check_disjoint({**files, "test": [*files["test"], other]})


@given(st.lists(st.integers(0, 30), min_size=4, max_size=60), st.integers(0, 5))
def test_every_row_is_in_one_part_and_copies_stay_together(texts, seed):
    examples = [Example(str(i), str(text), "a", "", i) for i, text in enumerate(texts)]
    parts = hold_out(examples, [0.25, 0.125], [seed])
    assert sorted(e.row for part in parts for e in part) == list(range(len(texts)))
    prompts = [{e.prompt for e in part} for part in parts]
    assert not prompts[0] & prompts[1]
    assert not prompts[0] & prompts[2]
    assert not prompts[1] & prompts[2]
    assert all([e.row for e in part] == sorted(e.row for e in part) for part in parts)
    assert parts == hold_out(examples, [0.25, 0.125], [seed])


def test_shares_are_of_the_different_rows_and_drawn_by_the_key():
    examples = _rows("pool", 80)
    parts = hold_out(examples, [0.25, 0.125], [0, 1])
    assert [len(part) for part in parts] == [50, 20, 10]
    assert hold_out(examples, [0.25, 0.125], [0, 2]) != parts
    assert [len(part) for part in hold_out(examples, [], [0])] == [80]
