"""Rows kept in parts while they are computed: found again bit for bit, never trusted blindly."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from airrep.disk import parts
from airrep.disk.parts import Due, discard, kept_in, kept_rows
from airrep.errors import OutputError

KEYS = [bytes([i]) * 16 for i in range(10)]
BATCHES = [np.array([9, 0]), np.array([3, 1, 2]), np.array([4]), np.array([8, 5, 7, 6])]


class Killed(BaseException):
    """Stands for what ends a process; nothing in the library expects it."""


@pytest.fixture
def clock(monkeypatch):
    """Seconds, which stand still until a test moves them."""
    now = [1000.0]
    monkeypatch.setattr(parts, "clock", lambda: now[0])
    return now


def values_of(members):
    return np.stack([np.full(3, 1 / (i + 3), dtype=np.float32) for i in members])


def compute(
    directory, clock, *, seconds=6.0, stop_before=None, made_by="model a", keys=KEYS,
    batches=BATCHES, name="rows",
):  # fmt: skip
    """A pass; returns what it made, and the rows that it had to compute."""
    computed = []
    with kept_in(directory, name), kept_rows(lambda: made_by, lambda: keys, (len(keys), 3)) as rows:
        for number, members in enumerate(batches):
            if number == stop_before:
                raise Killed
            if not rows.find(members):
                clock[0] += seconds
                computed += members.tolist()
                rows.put(members, values_of(members))
    return rows.values, computed


def killed(directory, clock, *, flush=True, monkeypatch=None, **options):
    """A pass that ends early; without `flush` as SIGKILL ends it, with nothing said."""
    if not flush:
        monkeypatch.setattr(parts.KeptRows, "write", _only_when_due(parts.KeptRows.write))
    with pytest.raises(Killed):
        compute(directory, clock, **options)
    if not flush:
        monkeypatch.undo()
        monkeypatch.setattr(parts, "clock", lambda: clock[0])


def _only_when_due(write):
    def written(self):
        if self._due:
            write(self)

    return written


def test_nothing_is_written_without_a_place(tmp_path, monkeypatch, clock):
    monkeypatch.chdir(tmp_path)
    asked = []
    with kept_rows(lambda: asked.append(1), lambda: asked.append(2), (2, 3)) as rows:
        clock[0] += 100
        assert not rows.find(np.array([0]))
        rows.put(np.array([0]), np.ones((1, 3)))
    assert rows.values.tolist() == [[1, 1, 1], [0, 0, 0]]
    assert asked == []
    assert list(tmp_path.iterdir()) == []


def test_a_short_pass_writes_nothing(tmp_path, clock):
    values, computed = compute(tmp_path, clock, seconds=1.0)
    assert values.tobytes() == values_of(range(10)).tobytes()
    assert sorted(computed) == list(range(10))
    assert list(tmp_path.iterdir()) == []


def test_after_sigkill_at_most_fifteen_seconds_are_computed_again(tmp_path, clock, monkeypatch):
    killed(tmp_path, clock, flush=False, monkeypatch=monkeypatch, seconds=8.0, stop_before=3)
    values, computed = compute(tmp_path, clock)
    assert values.tobytes() == values_of(range(10)).tobytes()
    assert computed == [4, 8, 5, 7, 6], "two batches took 16 seconds and were written"


def test_after_an_interrupt_nothing_is_computed_again(tmp_path, clock):
    killed(tmp_path, clock, seconds=1.0, stop_before=3)
    values, computed = compute(tmp_path, clock)
    assert values.tobytes() == values_of(range(10)).tobytes()
    assert computed == [8, 5, 7, 6]


def test_a_pass_that_took_long_leaves_all_of_it_until_it_is_discarded(tmp_path, clock):
    compute(tmp_path, clock, seconds=8.0)
    assert compute(tmp_path, clock)[1] == []
    discard(tmp_path, "another name")
    assert compute(tmp_path, clock)[1] == []
    discard(tmp_path, "rows")
    assert list(tmp_path.iterdir()) == []
    assert len(compute(tmp_path, clock)[1]) == 10


def test_interrupted_again_and_again_it_gets_there(tmp_path, clock):
    for stop in (1, 2, 3):
        killed(tmp_path, clock, seconds=1.0, stop_before=stop)
    assert compute(tmp_path, clock)[1] == [8, 5, 7, 6]


def test_rows_are_known_by_what_they_are(tmp_path, clock):
    """In another order, and among others; a batch of which a row is missing is computed whole."""
    killed(tmp_path, clock, stop_before=2)  # 9, 0, 3, 1, 2
    keys = [KEYS[3], b"a row of another", KEYS[9], KEYS[0]]
    batches = [np.array([0, 1]), np.array([3, 2])]
    values, computed = compute(tmp_path, clock, keys=keys, batches=batches)
    assert computed == [0, 1]
    assert values[2:].tobytes() == values_of([9, 0]).tobytes()


@pytest.mark.parametrize("other", [{"made_by": "model b"}, {"name": "others"}])
def test_what_something_else_made_is_left_alone(tmp_path, clock, other):
    killed(tmp_path, clock, stop_before=2)
    assert len(compute(tmp_path, clock, **other)[1]) == 10
    assert compute(tmp_path, clock)[1] == [4, 8, 5, 7, 6]


def test_other_shapes_and_types_are_not_taken(tmp_path, clock):
    killed(tmp_path, clock, stop_before=2)
    for shape, dtype in (((10, 4), np.float32), ((10, 3), np.float64), ((10,), np.float32)):
        with (
            kept_in(tmp_path, "rows"),
            kept_rows(lambda: "model a", lambda: KEYS, shape, dtype) as rows,
        ):
            assert not rows.find(np.array([9, 0]))


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_part_is_computed_again(tmp_path, clock, damage):
    killed(tmp_path, clock, stop_before=2)
    (file,) = tmp_path.glob(".*.part")
    content = bytearray(file.read_bytes())
    if damage == "flipped":
        content[-1] ^= 1
    file.write_bytes({"cut": content[:-1], "empty": b""}.get(damage, content))
    values, computed = compute(tmp_path, clock)
    assert len(computed) == 10
    assert values.tobytes() == values_of(range(10)).tobytes()
    discard(tmp_path, "rows")
    assert list(tmp_path.iterdir()) == []


def test_parts_that_are_still_needed_stay(tmp_path, clock):
    killed(tmp_path, clock, stop_before=1)
    killed(tmp_path, clock, stop_before=2)
    discard(tmp_path, "rows", lambda keys: KEYS[0] in keys)
    assert compute(tmp_path, clock)[1] == [3, 1, 2, 4, 8, 5, 7, 6]


def test_a_full_disk_ends_the_pass_in_words(tmp_path, clock, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(parts, "save_file", fail)
    with pytest.raises(OutputError, match="No space left"):
        compute(tmp_path, clock, seconds=20.0)
    with pytest.raises(Killed):  # and does not hide what ended it
        compute(tmp_path, clock, seconds=1.0, stop_before=2)


def test_slow_disks_take_a_twentieth_of_the_time(clock):
    due = Due()
    assert not due
    clock[0] += 15
    assert due
    with due.writing():
        clock[0] += 4
    clock[0] += 79
    assert not due
    clock[0] += 1
    assert due
