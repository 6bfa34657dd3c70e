"""Writes that survive a power cut: files and their names are on disk before work goes on.

A file that was written, renamed or put into a new directory is safe only once the system was asked
to store its bytes (`sync_file`) and the entry of its directory (`sync_directory`).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

# What file systems say of a directory that they cannot sync on its own; nothing can be done then.
_CANNOT = {errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES}


def sync_file(path: Path) -> None:
    """Return once the file's bytes are on disk.

    Raises:
        OSError: They are not: the disk is full or broken.
    """
    with path.open("rb+") as written:
        os.fsync(written.fileno())


def sync_directory(path: Path) -> None:
    """Return once the names in the directory are on disk: files made, renamed, removed.

    On Windows, and on file systems that cannot, nothing happens.

    Raises:
        OSError: They are not: the disk is full or broken.
    """
    if os.name == "nt":  # a directory cannot be opened there
        return
    try:
        opened = os.open(path, os.O_RDONLY)
    except PermissionError:  # it can be written to and not be read
        return
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    finally:
        os.close(opened)


def sync_tree(path: Path) -> None:
    """Return once everything below the directory is on disk, and it itself.

    Raises:
        OSError: It is not: the disk is full or broken.
    """
    for directory, _, files in os.walk(path, topdown=False):
        for name in files:
            sync_file(Path(directory, name))
        sync_directory(Path(directory))


def make_directories(path: Path) -> None:
    """Make a directory and those above it; return once those that are new are on disk.

    Raises:
        OSError: It cannot be made, or something else is there.
    """
    missing = [path]
    while not missing[-1].parent.is_dir() and missing[-1].parent != missing[-1]:
        missing.append(missing[-1].parent)
    for directory in reversed(missing):
        try:
            directory.mkdir()
        except OSError:  # read-only file systems do not all say that it exists
            if not directory.is_dir():
                raise
        else:
            sync_directory(directory.parent)
