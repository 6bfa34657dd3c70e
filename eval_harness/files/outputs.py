"""Output directories: bind a directory to a run, write tables and text.

Several processes may run one command on one directory. They share what takes long
(`eval_harness.runs.jobs`); then each writes the results, which are the same, while no other does
(`written_alone`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from airrep.disk.atomic import atomic_file
from airrep.disk.digests import file_digest
from airrep.disk.locks import locked
from airrep.disk.paths import not_ours
from airrep.disk.sealed import read_sealed, write_sealed
from airrep.errors import FileFormatError, OutputError

CHECKSUMS = "checksums.json"
_FORMAT = 1


def check_own(directory: Path, names: Iterable[str]) -> None:
    """Refuse to begin in a directory where results would replace what is not ours.

    Args:
        directory: For results; one that is bound already (see `claim`) is ours.
        names: Patterns of the files and directories that will be written, but for those of runs:
            runs may have been copied there, and are bound to their plan (see `SubsetPlan.save`).

    Raises:
        OutputError: One of them is there, and the directory is not ours.
    """
    patterns = ("config.json", "inputs.json", CHECKSUMS, *names)
    there = [file for name in patterns for file in sorted(directory.glob(name))]
    there = [file for file in there if not file.is_dir() or any(file.iterdir())]
    # After that look: another process that writes results now has bound the directory before.
    if there and not any(_binds(directory / name) for name in ("config.json", "inputs.json")):
        raise not_ours(there[0])


def _binds(file: Path) -> bool:
    """Whether this is a record of `claim`'s, also one of before there were digests."""
    try:
        known = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(known, dict) and ("digest" in known or known.keys() >= {"pool", "targets"})


@contextmanager
def written_alone(directory: Path) -> Iterator[None]:
    """Wait until no other process writes to an output directory, and keep others from it."""
    with locked(directory / ".lock"):
        yield


def claim(file: Path, mine: dict[str, Any], what: str) -> None:
    """Bind a directory to what determines its results, of which `file` is the record.

    Args:
        file: In the directory; written if it is not there.
        mine: What determines them.
        what: What the directory holds ("benchmark"), for the message.

    Raises:
        OutputError: The directory is bound to something else, or the file is damaged.
    """
    mine = json.loads(json.dumps(mine))  # as it will be read
    with written_alone(file.parent):  # of two that begin at once, one is refused
        if not file.exists():
            write_sealed(file, mine)
            return
    remedy = (
        "delete it if you know that the directory holds what you are about to go on with, else the "
        "directory"
    )
    try:
        known = dict(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        known = {}
    changed = sorted(key for key in mine if mine[key] != known.get(key))
    if changed:
        read_sealed(file, remedy, error=OutputError)  # a damaged file is not another's
        raise OutputError(
            f"holds another {what} ({file.name}: {', '.join(changed)} differ)",
            where=file.parent,
            remedy="use another directory, or delete this one",
        )


def write_checksums(directory: Path, files: Iterable[Path], *, kept: tuple[str, ...] = ()) -> None:
    """Write down digests of results, so that `curate verify` can tell whether they were altered.

    Args:
        directory: Directory of the results; the digests are in its `checksums.json`.
        files: In it; those that are not there are left out.
        kept: Beginnings of names whose digests stay as they are: what is read again, not written
            again, so that damage is not taken for what was written.
    """
    found = {str(f.relative_to(directory)): file_digest(f) for f in files if f.is_file()}
    known: dict[str, str] = {}
    if kept:
        with suppress(FileFormatError):  # damaged: then all of it is written anew
            known = read_checksums(directory)
    found |= {name: digest for name, digest in known.items() if name.startswith(kept)}
    write_sealed(directory / CHECKSUMS, {"format": _FORMAT, "files": found})


def read_checksums(directory: Path) -> dict[str, str]:
    """What `write_checksums` wrote: file, relative to the directory, to digest; {} if it did not.

    Raises:
        FileFormatError: The file is damaged, or of a later version.
    """
    file = directory / CHECKSUMS
    if not file.exists():
        return {}
    remedy = "run the same command again: it writes it anew"
    files: dict[str, str] = read_sealed(file, remedy, newest=_FORMAT)["files"]
    return files


def check_kept(directory: Path, kept: tuple[str, ...], remedy: str) -> None:
    """Refuse to go on with files that are not what `write_checksums` saw.

    Args:
        directory: Directory of the results.
        kept: Beginnings of names that are looked at.
        remedy: What to do about it, for the message.

    Raises:
        OutputError: One of them is missing or was altered.
        FileFormatError: The list of digests is damaged.
    """
    for name, digest in read_checksums(directory).items():
        file = directory / name
        if name.startswith(kept) and not (file.is_file() and file_digest(file) == digest):
            state = "not what was written (its digest differs)" if file.is_file() else "missing"
            raise OutputError(state, where=file, remedy=remedy)


def write_table(table: pd.DataFrame, file: Path) -> None:
    """Write Parquet, whole or not at all."""
    with atomic_file(file) as temporary:
        table.to_parquet(temporary, index=False)


def write_text(text: str, file: Path) -> None:
    """Write UTF-8, whole or not at all."""
    with atomic_file(file) as temporary:
        temporary.write_text(text, "utf-8")
