"""Results appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
from pathlib import Path

import pytest

from airrep.disk.atomic import atomic_directory, atomic_file, check_writable, write_json
from airrep.errors import MissingInputError, OutputError


@pytest.fixture
def below_a_file(tmp_path):
    """A path that nobody, root included, can create."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "below"


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def write_file(path, content, error=None):
    with atomic_file(path) as temporary:
        temporary.write_text(content)
        if error is not None:
            raise error


def write_directory(path, content, error=None):
    with atomic_directory(path) as temporary:
        (temporary / "a").write_text(content)
        if error is not None:
            raise error


def fail_with(number):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail


# --- a file -----------------------------------------------------------------------------------


def test_a_file_appears_under_its_name_and_nothing_else_does(tmp_path):
    with atomic_file(tmp_path / "deep" / "result.txt") as temporary:
        temporary.write_text("done")
        assert not (tmp_path / "deep" / "result.txt").exists()
    assert names(tmp_path / "deep") == ["result.txt"]
    assert (tmp_path / "deep" / "result.txt").read_text() == "done"


def test_a_file_that_is_there_is_replaced(tmp_path):
    (tmp_path / "result.txt").write_text("old and longer")
    with atomic_file(tmp_path / "result.txt") as temporary:
        temporary.write_text("new")
        assert (tmp_path / "result.txt").read_text() == "old and longer"
    assert (tmp_path / "result.txt").read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_no_temporary_one(tmp_path, error):
    (tmp_path / "result.txt").write_text("old")
    with pytest.raises(error):
        write_file(tmp_path / "result.txt", "half", error())
    assert names(tmp_path) == ["result.txt"]
    assert (tmp_path / "result.txt").read_text() == "old"


def test_a_failure_that_has_its_own_meaning_keeps_it(tmp_path):
    """An input that is missing is a FileNotFoundError, and no problem of the output."""
    with pytest.raises(MissingInputError, match="no such pool"), atomic_file(tmp_path / "x"):
        raise MissingInputError("no such pool")


def test_a_place_that_cannot_be_written_is_named(below_a_file):
    with pytest.raises(OutputError, match=f"cannot write {below_a_file}") as caught:
        write_json(below_a_file, {})
    assert caught.value.errno in (errno.ENOTDIR, errno.EEXIST)


def test_a_full_disk_while_writing_is_named_and_leaves_nothing(tmp_path):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OutputError, match=f"cannot write {tmp_path}/x .*No space left") as caught:
        write_file(tmp_path / "x", "half", full)
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_while_finishing_is_named_and_leaves_nothing(tmp_path, monkeypatch, call):
    """File systems may report it as late as that."""
    target = {"fsync": "os.fsync", "replace": "pathlib.Path.replace"}[call]
    monkeypatch.setattr(target, fail_with(errno.ENOSPC))
    with pytest.raises(OutputError, match=f"cannot write {tmp_path}/x"):
        write_json(tmp_path / "x", {})
    assert names(tmp_path) == []


def test_an_error_of_a_library_in_rust_counts_if_the_system_caused_it(tmp_path):
    with pytest.raises(OutputError, match="No space left"), atomic_file(tmp_path / "x"):
        raise Exception("No space left on device (os error 28)")
    with pytest.raises(Exception, match="not serializable") as caught, atomic_file(tmp_path / "x"):
        raise Exception("not serializable")
    assert not isinstance(caught.value, OutputError)


def test_json_is_readable_utf_8(tmp_path):
    write_json(tmp_path / "x.json", {"word": "größer"})
    content = (tmp_path / "x.json").read_bytes()
    assert "größer".encode() in content
    assert content.endswith(b"\n")
    assert json.loads(content) == {"word": "größer"}


# --- a directory ------------------------------------------------------------------------------


def test_a_directory_appears_whole(tmp_path):
    with atomic_directory(tmp_path / "deep" / "out") as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "a").write_text("1")
        assert not (tmp_path / "deep" / "out").exists()
    assert names(tmp_path / "deep") == ["out"]
    assert (tmp_path / "deep" / "out" / "sub" / "a").read_text() == "1"


def test_its_files_are_merged_into_a_directory_that_is_there(tmp_path):
    for name in ("kept", "replaced", "sub/kept", "sub/replaced"):
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text("old")
    with atomic_directory(tmp_path / "out") as temporary:
        for name in ("replaced", "added", "sub/replaced", "sub/added"):
            (temporary / name).parent.mkdir(exist_ok=True)
            (temporary / name).write_text("new")
    found = {
        str(f.relative_to(tmp_path)): f.read_text() for f in tmp_path.rglob("*") if f.is_file()
    }
    assert found == {
        "out/kept": "old", "out/replaced": "new", "out/added": "new",
        "out/sub/kept": "old", "out/sub/replaced": "new", "out/sub/added": "new",
    }  # fmt: skip


@pytest.mark.parametrize("there", [False, True])
def test_a_failure_changes_nothing(tmp_path, there):
    if there:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "a").write_text("old")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match="half way"):
        write_directory(tmp_path / "out", "half", ValueError("half way"))
    assert sorted(tmp_path.rglob("*")) == before
    assert not there or (tmp_path / "out" / "a").read_text() == "old"


def test_another_process_may_make_the_directory_first(tmp_path, monkeypatch):
    """After the look whether it is there, and before the rename."""
    place, rename, renamed = tmp_path / "place", Path.replace, []

    def be_late(source, target):
        renamed.append(source)
        if len(renamed) == 1:
            write_directory(place, "the other's")
        return rename(source, target)

    monkeypatch.setattr(Path, "replace", be_late)
    write_directory(place, "mine")
    assert (place / "a").read_text() == "mine"
    assert names(place) == ["a"]
    assert names(tmp_path) == ["place"]


def test_files_of_two_processes_do_not_mix(tmp_path, monkeypatch, wait_until):
    """The other comes when one of two files is moved."""
    place, rename, lock = tmp_path / "place", Path.replace, fcntl.flock
    place.mkdir()
    waits, others = threading.Event(), []

    def write(content):
        with atomic_directory(place) as temporary:
            for name in ("a", "b"):
                (temporary / name).write_text(content)

    def be_interrupted(source, target):
        moved = rename(source, target)
        if not others:
            others.append(threading.Thread(target=write, args=["the other's"]))
            others[0].start()
            wait_until(lambda: waits.is_set() or not others[0].is_alive(), "the other", 10)
        return moved

    def lock_or_wait(held, how):
        if others and os.path.samestat(os.fstat(held), place.stat()):
            waits.set()
        lock(held, how)

    monkeypatch.setattr(Path, "replace", be_interrupted)
    monkeypatch.setattr(fcntl, "flock", lock_or_wait)
    write("mine")
    others[0].join(10)
    assert {name: (place / name).read_text() for name in names(place)} == {
        "a": "the other's", "b": "the other's",
    }  # fmt: skip


def test_the_current_directory_is_a_directory_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with atomic_directory(type(tmp_path)(".")) as temporary:
        (temporary / "a").write_text("1")
    assert names(tmp_path) == ["a"]


def test_nothing_is_written_beside_a_directory_that_is_there(tmp_path):
    """It may be a mount: its parent is another file system, or not ours."""
    (tmp_path / "out").mkdir()
    with atomic_directory(tmp_path / "out") as temporary:
        assert tmp_path / "out" in temporary.parents
        assert names(tmp_path) == ["out"]


def test_a_directory_that_cannot_be_written_is_named(below_a_file):
    with (
        pytest.raises(OutputError, match=f"cannot write {below_a_file}"),
        atomic_directory(below_a_file / "out"),
    ):
        pass


def test_a_file_in_the_place_of_the_directory_is_an_error_and_stays(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match=f"cannot write {tmp_path}/out"):
        write_directory(tmp_path / "out", "1")
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out").read_text() == "mine"


# --- before the work ---------------------------------------------------------------------------


def test_a_writable_directory_is_made_and_left_empty(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == []


def test_an_unwritable_directory_shows_before_the_work(below_a_file, tmp_path, monkeypatch):
    with pytest.raises(OutputError, match=f"cannot write {below_a_file}"):
        check_writable(below_a_file)
    monkeypatch.setattr("airrep.disk.atomic.TemporaryFile", fail_with(errno.EACCES))
    with pytest.raises(OutputError, match=f"cannot write {tmp_path} .Permission denied"):
        check_writable(tmp_path)
