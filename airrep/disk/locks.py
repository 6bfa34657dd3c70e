"""One process at a time: locks, which the system drops when their holder dies."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from airrep.disk.durable import make_directories
from airrep.errors import OutputError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

# What file systems say that have no locks, or none on directories.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF}


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


@contextmanager
def locked_directory(directory: Path) -> Iterator[None]:
    """Wait for the lock of a directory itself, which leaves no file in it, and hold it.

    Nothing is held where directories have no locks (Windows, some network file systems), nor of one
    that may be written to and not be read.

    Raises:
        OSError: It is not there.
    """
    with ExitStack() as opened:
        with suppress(PermissionError):  # Windows opens none
            held = os.open(directory, os.O_RDONLY)
            opened.callback(os.close, held)
            lock_opened(held, wait=True)
        yield


def lock_opened(held: int, *, wait: bool = False) -> bool:
    """Lock what is open, until it is closed.

    Args:
        held: Descriptor of a file or a directory.
        wait: For who holds it now.

    Returns:
        Whether the lock is ours now: not if another holds it, nor where there are no locks.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(held, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS or isinstance(error, BlockingIOError | PermissionError):
            return False
        raise
    return True


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
