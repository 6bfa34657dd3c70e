"""An array that took long to compute, with what is known of it: a .npy file and a sealed .json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from airrep.disk.atomic import atomic_file
from airrep.disk.digests import file_digest
from airrep.disk.sealed import ALTERED, read_sealed, reading, write_sealed
from airrep.errors import FileFormatError

_FORMAT = 1
_CONTENT = "content"  # the array file's digest
_REMEDY = "delete it and the .json beside it, and the same command computes it again"


def write_array(file: Path, values: npt.NDArray[Any], facts: Mapping[str, Any]) -> None:
    """Write both; the array counts once it is there, and comes last.

    Raises:
        OutputError: The place cannot be written to.
    """
    with atomic_file(file) as temporary:
        with temporary.open("wb") as stream:
            np.save(stream, values, allow_pickle=False)
        described = {"format": _FORMAT, **facts, _CONTENT: file_digest(temporary)}
        write_sealed(file.with_suffix(".json"), described)


def read_array(file: Path) -> tuple[npt.NDArray[Any], dict[str, Any]]:
    """The array, read whole and compared with its digest, and the facts.

    Raises:
        FileFormatError: One of them is damaged, or of a later version.
    """
    described = read_sealed(file.with_suffix(".json"), _REMEDY, newest=_FORMAT)
    with reading(file, _REMEDY, FileFormatError):
        if described.pop(_CONTENT, None) not in (None, file_digest(file)):
            raise ValueError(ALTERED)
        return np.load(file, allow_pickle=False), described
