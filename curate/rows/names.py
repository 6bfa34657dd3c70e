"""Names of files, globs, directories and hub datasets to rows."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from datasets import Dataset, load_dataset

from airrep.console.wording import counted, shortened, shown
from airrep.disk.paths import user_path
from airrep.errors import ArgumentError, MissingInputError
from curate.rows.bad_rows import BadRows, OnBadRow, Unreadable
from curate.rows.collection import Rows, as_dataset
from curate.rows.columns import array_of
from curate.rows.files import SUFFIXES, has_known_suffix, read_file
from curate.rows.saved_dataset import is_saved, read_saved
from curate.rows.streams import PACKED_SUFFIXES
from curate.rows.unified import unified

_HUB_NAME = re.compile(
    r"(?P<name>\w[\w.-]*/[\w.-]+)(?:/(?P<config>[\w.-]+))?(?::(?P<split>[\w.\[\]:%+-]+))?"
)
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:/{1,2}\S+")
_LONGEST_NAME = 4096
_LOOKED_AT = 100  # items of a list


def from_name(given: str | Path, name: str, on_bad_row: OnBadRow) -> Rows:
    """The rows of a file, a glob, a saved dataset or a dataset on the hub.

    Args:
        given: Its name.
        name: What the rows are called in messages.
        on_bad_row: What is done with a row that cannot be read.

    Raises:
        MissingInputError: It is not there, or cannot be read.
        ArgumentError: It names no rows.
        FileFormatError: Its content is not what its name promises.
    """
    text = str(given)
    if _URL.match(text):
        raise MissingInputError(
            f"{name}: {shown(text, 200)} is a URL, and nothing is downloaded from one",
            remedy="Download the file and give its path, or name a dataset of the Hugging Face hub "
            "as owner/name",
        )
    try:
        path = user_path(given, name)
        if path.is_dir():
            return _from_directory(path, name)
        files = files_of(path)
    except OSError as error:  # too long a name
        if isinstance(error, MissingInputError):
            raise
        raise MissingInputError(
            f"{name}: {shown(text, 200)} cannot be read ({shortened(error, 200)})."
        ) from error
    if files:
        return from_files(files, name, on_bad_row)
    if isinstance(given, str) and not text.lower().endswith((*SUFFIXES, *PACKED_SUFFIXES)):
        match = _HUB_NAME.fullmatch(text)
        if match and (match["split"] or not _is_glob(path)):  # a split may be a slice: train[:10%]
            return Rows(_from_hub(text, **match.groupdict()), text)
    raise MissingInputError(f"{name}: no file matches {text!r} (looked in {Path.cwd()}).")


def name_files(given: Sequence[object]) -> bool:
    """Whether a list is one of names of files, rather than one of texts or of rows.

    Raises:
        ArgumentError: Some of its items name files, and others do not.
    """
    if not given or not all(isinstance(each, str | Path) for each in given):
        return False
    first = given[:_LOOKED_AT]
    named = [isinstance(each, Path) or _may_name_a_file(str(each)) for each in first]
    if all(named):
        return True
    for each in (each for each, may in zip(first, named, strict=True) if may):
        if isinstance(each, Path) or _names_a_file(str(each)):
            text = first[named.index(False)]
            raise ArgumentError(
                f"the list holds names of files ({shown(str(each))}) and other texts "
                f"({shown(str(text))}); give files alone, or texts alone."
            )
    return False


def _may_name_a_file(text: str) -> bool:
    """Whether a text looks like the name of a file that can be read, or is that of any file."""
    if not text.strip() or "\n" in text or len(text) > _LONGEST_NAME:
        return False
    return (has_known_suffix(text) and " " not in text) or _names_a_file(text)


def _names_a_file(text: str) -> bool:
    if not Path(text).suffix:
        return False
    with suppress(OSError, RuntimeError, ValueError):
        path = Path(text).expanduser()
        # of a text with a space no pattern is made: its question mark would be part of one
        return path.is_file() if " " in text else bool(files_of(path))
    return False


def files_of(path: Path) -> list[Path]:
    """The file of this name, or those that match it as a pattern."""
    if path.is_file():
        return [path]
    if not _is_glob(path):
        return []
    found = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207 (any root)
    return [file for file in found if file.is_file()]


def from_names(given: Sequence[str | Path], name: str, on_bad_row: OnBadRow) -> Rows:
    """The rows of several files, of which each name may be a pattern.

    Raises:
        MissingInputError: One of them is not there, or cannot be read.
        FileFormatError: The content of one is not what its name promises.
    """
    files: list[Path] = []
    for each in given:
        if _URL.match(str(each)):
            return from_name(each, name, on_bad_row)
        path = user_path(each, name)
        found = files_of(path)
        if not found and not path.exists():
            raise MissingInputError(
                f"{name}: no file matches {str(each)!r}, which looks like the name of one "
                f"(looked in {Path.cwd()})."
            )
        files += found or [path]
    return from_files(files, name, on_bad_row)


def from_files(files: list[Path], name: str, on_bad_row: OnBadRow) -> Rows:
    """The rows of files; see `from_names`."""
    tables, starts, row = [], [], 0
    unreadable: dict[int, Unreadable] = {}
    for file in files:
        _check_name(file, name)
        bad = BadRows(str(file), on_bad_row)
        try:
            table = read_file(file, bad)
        except OSError as error:
            raise MissingInputError(f"{name}: {file} cannot be read ({error}).") from error
        unreadable |= {row + local: found for local, found in bad.found.items()}
        tables.append(table)
        starts.append((row, str(file)))
        row += table.num_rows
    label = str(files[0]) if len(files) == 1 else counted(len(files), "file")
    whole = unified(tables, f"{name}: {label}", array_of)
    return Rows(as_dataset(whole, label), label, tuple(starts), unreadable)


def _is_glob(path: Path) -> bool:
    return any(sign in str(path) for sign in "*?[")


def _from_directory(path: Path, name: str) -> Rows:
    _check_name(path, name)
    if is_saved(path):
        return Rows(read_saved(path).with_format(None), str(path))
    endings = (*SUFFIXES, *(a + b for a in SUFFIXES[:-1] for b in PACKED_SUFFIXES))
    for pattern in ("*", "**/*"):
        found = Counter(
            next((ending for ending in endings if file.name.lower().endswith(ending)), "")
            for file in path.glob(pattern)
        )
        found.pop("", None)
        if found:
            break
    ending = found.most_common(1)[0][0] if found else ".jsonl"
    raise MissingInputError(
        f"{path} is a directory but not a saved Hugging Face dataset; name its files, for "
        f"instance '{path / pattern}{ending}'."
    )


def _check_name(path: Path, name: str) -> None:
    """Refuse a path that could not be written to a manifest."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        raise MissingInputError(
            f"{name}: the name of {str(path)!r} is not UTF-8; rename the file."
        ) from error


def _from_hub(text: str, name: str, config: str | None, split: str | None) -> Dataset:
    try:
        return load_dataset(name, config, split=split or "train")
    except Exception as error:  # the hub, its cache and dataset readers raise many kinds
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise MissingInputError(
            f"{text!r} is no local file, and could not be loaded from the Hugging Face hub as "
            f"dataset {name!r}, config {config or 'default'!r}, split {split or 'train'!r} "
            f"({reason})."
        ) from error
