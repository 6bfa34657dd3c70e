"""How far long work is, on a terminal and in a log."""

from __future__ import annotations

import io
import re
import sys

import pytest

from airrep.console import progress
from airrep.console.progress import announce, bar, counted_by, duration


class Terminal(io.StringIO):
    """Standard error on a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress, "clock", lambda: now[0])
    return now


# --- in a log ---------------------------------------------------------------------------------


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(clock, capfd):
    with bar(1000, "embed") as shown:
        for _ in range(100):
            clock[0] += 1
            shown.advance(10)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "embed: the first 10 rows took 1 s; 990 left: about 1 min 39 s",
        "embed: 100 of 1,000 rows (10%), 10.0 rows a second, 1 min 30 s left",
        "embed: 400 of 1,000 rows (40%), 10.0 rows a second, 1 min 0 s left",
        "embed: 700 of 1,000 rows (70%), 10.0 rows a second, 30 s left",
        "embed: 1,000 of 1,000 rows (100%), 10.0 rows a second, 0 s left",
        "embed: 1,000 of 1,000 rows (100%), in 1 min 40 s",
    ]


def test_short_work_leaves_no_line(clock, capfd):
    with bar(1000, "embed") as shown:
        clock[0] += 9
        shown.advance(1000)
    assert capfd.readouterr() == ("", "")


def test_what_was_found_does_not_count_for_the_pace(clock, capfd):
    with bar(100, "embed", done=40) as shown:
        shown.skip(40)
        clock[0] += 10
        shown.advance(5)
    assert "embed: 85 of 100 rows (85%), 2.0 seconds a row, 30 s left" in capfd.readouterr().err


def test_a_note_is_said_with_the_line(clock, capfd):
    with bar(10, "training", "step") as shown:
        shown.note("LDS 0.123")
        clock[0] += 10
        shown.advance(5)
    assert "training: 5 of 10 steps (50%), 2.0 seconds a step, 10 s left, LDS 0.123" in (
        capfd.readouterr().err
    )


def test_work_that_is_interrupted_says_how_far_it_came(clock, capfd):
    def interrupted():
        with bar(10, "runs", "run") as shown:
            clock[0] += 10
            shown.advance(5)
            clock[0] += 10
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert capfd.readouterr().err.splitlines()[-1] == "runs: 5 of 10 runs (50%), in 20 s"


def test_work_of_others_counts(clock, capfd):
    with bar(10, "runs", "run", done=2) as shown:
        clock[0] += 10
        shown.reach(7)
        shown.reach(7)
    assert capfd.readouterr().err.count("7 of 10 runs") == 2


# --- on a terminal ----------------------------------------------------------------------------


def test_a_terminal_gets_a_bar_with_the_pace_and_what_is_left(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)  # here: pytest sets it before every test
    with bar(10, "embed", done=2) as shown:
        shown.skip(3)
        shown.note("LDS 0.5")
        shown._bar.start_t -= 10  # ten seconds pass
        shown._bar.last_print_t -= 10
        shown.advance(4)
    said = terminal.getvalue()
    last = said.split("\r")[-1]
    assert "9/10" in last
    assert "row" in last
    assert "LDS 0.5" in last
    assert re.search(r"\[00:10<00:0\d", last), "elapsed, and left"


def test_a_terminal_is_told_how_long_it_takes_above_the_bar(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with bar(200, "runs", "run") as shown:
        clock[0] += 41
        shown.advance(1)
    line = "runs: the first run took 41 s; 199 left: about 2 h 15 min\n"
    assert line in terminal.getvalue()


# --- who shows --------------------------------------------------------------------------------


def test_nothing_is_shown_unless_asked_for(clock, capfd):
    with bar(10, "embed", shown=False) as shown:
        clock[0] += 100
        shown.advance(10)
        shown.skip(0)
        shown.note("x")
    assert shown.done == 10
    assert capfd.readouterr() == ("", "")


def test_of_several_processes_the_first_shows(clock, capfd, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with bar(10, "embed") as shown:
        clock[0] += 100
        shown.advance(10)
    assert capfd.readouterr().err == ""


def test_parts_are_counted_by_the_whole(clock, capfd):
    with bar(10, "embed", shown=True) as whole, counted_by(whole):
        for _ in range(2):
            with bar(5, "encode", shown=True) as part:
                part.skip(1)
                part.note("nobody hears")
                clock[0] += 10
                part.advance(4)
    assert whole.done == 10
    assert whole.found == 2
    err = capfd.readouterr().err
    assert "encode" not in err
    assert err.startswith("embed: 5 of 10 rows (50%), 2.5 seconds a row, 12 s left\n")


def test_parts_of_another_unit_stand_below_the_whole(clock, capfd):
    """Of trials, whose unit is a step, scoring counts rows: it is long enough to be seen."""
    with bar(10, "selections", "step") as whole, counted_by(whole):
        with bar(10, "gradients") as part:
            clock[0] += 10
            part.advance(5)
        clock[0] += 5
        whole.advance(5)
    assert capfd.readouterr().err.splitlines() == [
        "gradients: 5 of 10 rows (50%), 2.0 seconds a row, 10 s left",
        "gradients: 5 of 10 rows (50%), in 10 s",
        "selections: 5 of 10 steps (50%), 3.0 seconds a step, 15 s left",
        "selections: 5 of 10 steps (50%), in 15 s",
    ]


# --- before, and after the first part ---------------------------------------------------------


def test_how_much_there_is_is_said_before(capfd, monkeypatch):
    announce("score", "3,000 rows", "", "10 targets")
    announce("score", "nobody asked", shown=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    announce("score", "said by another process")
    assert capfd.readouterr() == ("", "score: 3,000 rows, 10 targets\n")


def test_how_long_it_takes_is_measured_and_said_once(clock, capfd):
    with bar(1000, "embed", done=100) as shown:
        shown.skip(300)
        for _ in range(8):
            clock[0] += 0.25
            shown.advance(1)
    assert capfd.readouterr().err.splitlines() == [
        "embed: the first 4 rows took 1 s; 596 left: about 2 min 29 s"
    ]


def test_what_is_soon_done_is_not_worth_a_line(clock, capfd):
    with bar(100, "embed") as shown:
        clock[0] += 1
        shown.advance(10)  # 9 seconds are left
    assert capfd.readouterr().err == ""


def test_larger_parts_than_the_units_can_be_timed(clock, capfd):
    with bar(2000, "runs", "step", timed=False) as shown:
        clock[0] += 5
        shown.advance(1)
        clock[0] += 36
        shown.advance(9)
        shown.timed(1, "run", 199)
    said = capfd.readouterr().err.splitlines()
    assert said[1] == "runs: the first run took 41 s; 199 left: about 2 h 15 min"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations(seconds, said):
    assert duration(seconds) == said
