"""What is being written has a name of its own, and what killed runs left there goes."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from airrep.disk import temporary
from airrep.disk.atomic import atomic_file, check_writable, write_json
from airrep.disk.temporary import (
    is_temporary,
    leftovers,
    remove_leftover,
    remove_leftovers,
    temporary_directory,
)

# Begins to write, says so, and waits to be killed.
WRITER = """
import sys, time
from pathlib import Path
from airrep.disk.atomic import atomic_file
with atomic_file(Path(sys.argv[1])) as file:
    file.write_text("half")
    print(file.parent.name, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def writer(tmp_path):
    """Start a process that writes a file and never ends; returns it."""
    started = []

    def start(name):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / name)], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        process.place = process.stdout.readline().strip()
        return process

    yield start
    for process in started:
        kill(process)
        process.stdout.close()


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_two_writers_of_one_file_do_not_meet(tmp_path, writer):
    other = writer("x")
    assert other.place == ".x.0.tmp"
    with atomic_file(tmp_path / "x") as mine:
        mine.write_text("whole")
        assert mine.parent.name == ".x.1.tmp"
    assert (tmp_path / "x").read_text() == "whole"
    assert (tmp_path / ".x.0.tmp" / "x").read_text() == "half", "a living run's is left alone"
    assert leftovers(tmp_path) == []


def test_the_next_writer_of_the_file_removes_what_a_killed_one_left(tmp_path, writer):
    first, second = writer("x"), writer("x")
    kill(first)
    kill(second)
    assert names(tmp_path) == [".x.0.tmp", ".x.1.tmp"]
    assert [path.name for path in leftovers(tmp_path)] == names(tmp_path)
    write_json(tmp_path / "x", {})
    assert names(tmp_path) == ["x"]


def test_a_name_that_a_living_run_has_is_skipped_and_dead_ones_after_it_go(tmp_path, writer):
    first, second = writer("x"), writer("x")
    kill(second)
    with temporary_directory(tmp_path, "x") as mine:
        assert mine.name == ".x.1.tmp"
        assert list(mine.iterdir()) == []
    kill(first)


def test_a_command_that_begins_removes_all_that_is_dead_in_its_directory(tmp_path, writer):
    dead, living = writer("x"), writer("y")
    kill(dead)
    (tmp_path / ".z.json.0123456789abcdef0123456789abcdef.tmp").write_text("of an old version")
    check_writable(tmp_path)
    assert names(tmp_path) == [".y.0.tmp"]
    assert living.poll() is None


@pytest.mark.parametrize("name", [".mine.tmp", "x.0.tmp", ".x.0.tmp", ".x.abc.tmp", ".x.0.tmp2"])
def test_files_of_somebody_else_are_no_leftovers(tmp_path, name):
    """Ours with a number are directories."""
    (tmp_path / name).write_text("mine")
    assert not is_temporary(tmp_path / name)
    check_writable(tmp_path)
    assert (tmp_path / name).read_text() == "mine"


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").write_text("mine")
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / ".x.0.tmp").symlink_to(tmp_path / "mine")
    remove_leftovers(tmp_path / "place")
    write_json(tmp_path / "place" / "x", {})
    assert (tmp_path / "mine" / "thesis").read_text() == "mine"


def test_without_locks_nothing_is_removed_that_may_be_in_use(tmp_path, monkeypatch):
    (tmp_path / ".x.0.tmp").mkdir()
    monkeypatch.setattr("airrep.disk.locks.fcntl", None)
    write_json(tmp_path / "x", {})
    assert names(tmp_path) == [".x.0.tmp", "x"]


def test_what_is_taken_for_a_leftover_before_it_is_locked_is_not_written_to(
    tmp_path, monkeypatch, wait_until
):
    """Another process begins to remove it in the moment between its making and its lock."""
    make, remove, lock = Path.mkdir, temporary._remove, fcntl.flock
    others, decided = [], threading.Event()

    def make_and_be_late(path, *given, **options):
        make(path, *given, **options)
        if not others:
            others.append(threading.Thread(target=remove_leftover, args=[path]))
            others[0].start()
            wait_until(lambda: len(others) == 2, "the other's lock", 10)

    def remove_later(path):
        others.append("holds the lock, and is about to remove it")
        decided.wait(10)
        remove(path)

    def lock_or_wait(held, how):
        if not how & fcntl.LOCK_NB:
            decided.set()
        lock(held, how)

    monkeypatch.setattr(Path, "mkdir", make_and_be_late)
    monkeypatch.setattr(temporary, "_remove", remove_later)
    monkeypatch.setattr(fcntl, "flock", lock_or_wait)
    with atomic_file(tmp_path / "x") as file:
        decided.set()
        others[0].join(10)
        file.write_text("whole")
    assert names(tmp_path) == ["x"]


def test_a_library_may_replace_the_file_that_it_was_given(tmp_path):
    """As safetensors does, which writes beside it and renames."""
    with atomic_file(tmp_path / "x") as file:
        (file.parent / "other").write_text("whole")
        (file.parent / "other").replace(file)
        (file.parent / "forgotten").write_text("")
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x").read_text() == "whole"
