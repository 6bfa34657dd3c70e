"""Temporary files and directories, and those that killed runs left behind.

While `x` is written it is `.x.0.tmp/x` (`.x.1.tmp/x`, if another process writes it too), and the
writer holds a lock on that directory that the system drops when the process dies. So what is not
locked is a dead run's, and the next one that writes `x` removes it; without locks (on Windows) it
stays until somebody deletes it. Nothing ever reads such a file.
A directory, because some libraries write beside the name that they are given, and rename.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from airrep.disk.locks import lock_opened

_NAME = re.compile(r"\..+\.\d+\.tmp")
_OLD = re.compile(r"\.(.+\.)?[0-9a-f]{32}\.tmp")  # what versions without locks left


@contextmanager
def temporary_directory(home: Path, name: str) -> Iterator[Path]:
    """An empty directory in `home` that is this process's, to write `name` in; removed in the end.

    Raises:
        OSError: It cannot be made.
    """
    number, held = 0, None
    while held is None:
        path = home / f".{name}.{number}.tmp"
        held = _make(path)
        number += 1
    try:
        for later in count(number):
            other = home / f".{name}.{later}.tmp"
            if not os.path.lexists(other) or not remove_leftover(other):
                break
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(held)


def leftovers(directory: Path) -> list[Path]:
    """What dead runs left in a directory."""
    return sorted(path for path in directory.iterdir() if is_temporary(path) and _is_dead(path))


def remove_leftovers(directory: Path) -> None:
    """Remove what dead runs left in a directory; nothing happens where that cannot be.

    A directory that cannot be written to is not this function's to complain of.
    """
    with suppress(OSError):
        for path in leftovers(directory):
            remove_leftover(path)


def is_temporary(path: Path) -> bool:
    """Whether something is being written there, or was."""
    return _OLD.fullmatch(path.name) is not None or (
        _NAME.fullmatch(path.name) is not None and path.is_dir() and not path.is_symlink()
    )


def remove_leftover(path: Path) -> bool:
    """Remove what a dead run left; False if a living one is at it, or nobody can know.

    Raises:
        OSError: It cannot be removed.
    """
    try:
        with _opened(path) as held:
            if not lock_opened(held):
                return False
            if _is_at(held, path):
                _remove(path)
    except FileNotFoundError:
        pass
    return True


def _make(path: Path) -> int | None:
    """Make it and lock it; None if a living process has this name."""
    while True:
        if os.path.lexists(path) and not remove_leftover(path):
            return None
        try:
            path.mkdir()
        except FileExistsError:
            return None
        with suppress(FileNotFoundError):
            held = os.open(path, os.O_RDONLY)
            # In the moment before our lock somebody may have taken it for a leftover. It is ours if
            # it is still there when they have let go of it.
            lock_opened(held, wait=True)
            if _is_at(held, path):
                return held
            os.close(held)


def _is_dead(path: Path) -> bool:
    try:
        with _opened(path) as held:
            return lock_opened(held)
    except OSError:
        return False


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    held = os.open(path, os.O_RDONLY)
    try:
        yield held
    finally:
        os.close(held)


def _is_at(held: int, path: Path) -> bool:
    """Whether the open file is what the path names."""
    try:
        return os.path.samestat(os.fstat(held), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
