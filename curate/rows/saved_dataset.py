"""A dataset that `Dataset.save_to_disk` wrote, checked before it is believed.

Its data files are mapped into memory as they are, so that a damaged one could end the process, and
they are named by a file beside them, which could name any.
"""

from __future__ import annotations

import json
from pathlib import Path

from datasets import Dataset, load_from_disk

from airrep.console.wording import shown
from airrep.disk.sealed import reading
from airrep.errors import ArgumentError, FileFormatError

_STATE, _SPLITS = "state.json", "dataset_dict.json"


def is_saved(path: Path) -> bool:
    """Whether a directory looks like a saved dataset, or like several splits of one."""
    return any((path / name).is_file() for name in (_STATE, _SPLITS))


def read_saved(path: Path) -> Dataset:
    """Read it.

    Raises:
        ArgumentError: It holds several splits.
        FileFormatError: It is damaged, or names files that are not its own.
    """
    with reading(path, "Save it again", FileFormatError, "a damaged saved dataset"):
        if not (path / _SPLITS).is_file():
            return _dataset(path)
        splits = list(json.loads((path / _SPLITS).read_text("utf-8"))["splits"])
    raise ArgumentError(
        f"{path} holds the splits {shown(splits, 200)}; name the directory of one of them."
    )


def _dataset(path: Path) -> Dataset:
    for listed in json.loads((path / _STATE).read_text("utf-8"))["_data_files"]:
        _check_own(path, listed["filename"])
    dataset = load_from_disk(str(path))
    dataset.data.table.validate(full=True)
    return dataset


def _check_own(path: Path, name: str) -> None:
    if Path(name).name != name or not (path / name).is_file():
        raise FileFormatError(
            f"{path / _STATE}: lists the data file {shown(name, 200)}, which is not a file of this "
            "directory. Save the dataset again."
        )
