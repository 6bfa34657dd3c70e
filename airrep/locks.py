"""One process at a time: file locks, which the system drops when their holder dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from airrep.durable import make_directories
from airrep.errors import OutputError


def try_lock(file: Path) -> FileLock | None:
    """The lock, held; None if another process (or thread) holds it.

    Raises:
        OutputError: The file cannot be made.
    """
    return _acquire(file, timeout=0)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Wait for the lock, and hold it.

    Raises:
        OutputError: The file cannot be made.
    """
    lock = _acquire(file, timeout=-1)
    assert lock is not None
    try:
        yield
    finally:
        lock.release()


def _acquire(file: Path, timeout: float) -> FileLock | None:
    lock = FileLock(file)
    try:
        make_directories(file.parent)
        lock.acquire(timeout=timeout)
    except Timeout:
        return None
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"cannot lock {file} ({reason}); free space, or choose another place."
        ) from error
    return lock
