"""Results appear whole or not at all, and stay: write beside the destination, sync, rename, sync.

When one of these functions is done, what it wrote outlasts a power cut (see `airrep.disk.durable`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from airrep.disk.durable import make_directories, sync_directory, sync_file, sync_tree
from airrep.disk.locks import locked_directory
from airrep.disk.temporary import remove_leftovers, temporary_directory
from airrep.errors import CurateError, OutputError


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path; on success it becomes `path`, on failure nothing is left.

    Raises:
        OutputError: The directory cannot be written to, or the disk is full.
    """
    with _as_output_error(path):
        make_directories(path.parent)
        with temporary_directory(path.parent, path.name) as place:
            temporary = place / path.name
            yield temporary
            sync_file(temporary)  # before the rename: else the new name could be an empty file's
            temporary.replace(path)
        sync_directory(path.parent)  # that it has its name, and that the temporary one is gone


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary directory; on success its files become `path`'s (others stay).

    Of several processes that write it at once, the files of the last are there, all of them.

    Raises:
        OutputError: The directory cannot be written to, or the disk is full.
    """
    # Inside the directory if it exists: it may be a mount, and renames stay on one file system.
    home = path if path.is_dir() else path.parent
    with _as_output_error(path):
        make_directories(home)
        name = path.absolute().name
        with temporary_directory(home, name) as place:
            temporary = place / name
            temporary.mkdir()
            yield temporary
            sync_tree(temporary)
            _give_name(temporary, path)
        sync_directory(home)


def check_writable(directory: Path) -> None:
    """Find out now, not after hours of work, that results cannot be written.

    What killed runs left in the directory is removed.

    Raises:
        OutputError: The directory cannot be made or written to.
    """
    with _as_output_error(directory):
        make_directories(directory)
        with TemporaryFile(dir=directory):  # nameless, so that a kill leaves nothing
            remove_leftovers(directory)


def write_json(path: Path, content: Any) -> None:  # noqa: ANN401 (anything json can hold)
    """Write `content` as indented UTF-8 JSON, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _give_name(temporary: Path, path: Path) -> None:
    """Rename a directory or, if there is one of that name, its files."""
    if not path.exists():
        try:
            temporary.replace(path)
        except OSError:
            if not path.is_dir():
                raise
        else:
            return
        # Another process was first, after our look.
    with locked_directory(path):  # the files of two that are at it do not mix
        _move_files(temporary, path)


def _move_files(source: Path, destination: Path) -> None:
    for file in sorted(source.rglob("*")):
        target = destination / file.relative_to(source)
        if file.is_dir():
            make_directories(target)
        else:
            file.replace(target)
    for directory in (below for below in source.rglob("*") if below.is_dir()):
        sync_directory(destination / directory.relative_to(source))


@contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    try:
        yield
    except CurateError:
        raise
    except Exception as error:
        # safetensors and tokenizers, written in Rust, put the system's error into one of theirs
        unnameable = isinstance(error, ValueError) and "\0" in str(path)
        if not isinstance(error, OSError) and "(os error " not in str(error) and not unnameable:
            raise
        reason = getattr(error, "strerror", None) or error
        found = OutputError(f"cannot write {path} ({reason}); free space, or choose another place.")
        found.errno = getattr(error, "errno", None)
        raise found from error
