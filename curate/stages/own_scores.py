"""Scores that come from elsewhere: read, and checked before they are believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.disk.paths import user_path
from airrep.errors import EmbeddingError, FileFormatError, MissingInputError
from airrep.shards.embedding_file import NPY_ERRORS


def own_scores(
    given: str | Path | npt.NDArray[np.floating], shape: tuple[int, int]
) -> npt.NDArray[Any]:
    """The user's scores, checked.

    Raises:
        MissingInputError: No such file.
        FileFormatError: No .npy file of numbers.
        EmbeddingError: Another shape, or NaN or infinite somewhere.
    """
    name = str(given) if isinstance(given, str | Path) else "scores"
    values = given
    if isinstance(given, str | Path):
        try:
            values = np.load(user_path(given, "scores"), mmap_mode="r", allow_pickle=False)
        except FileNotFoundError as error:
            raise MissingInputError(f"scores: no file {name!r}.") from error
        except NPY_ERRORS as error:
            raise FileFormatError(
                f"{name}: not a .npy file of numbers ({error}); numpy.save writes one."
            ) from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        found = getattr(values, "dtype", type(values).__name__)
        raise FileFormatError(f"{name}: expected one array of numbers (.npy), found {found}.")
    check_shape(name, values.shape, shape)
    for target, row in enumerate(values):
        bad = np.flatnonzero(~np.isfinite(row))[:1].tolist()
        if bad:
            raise EmbeddingError(
                f"{name}: the score of evaluation row {target} and pool row {bad[0]} (counting "
                f"from 0) is {row[bad[0]]}; expected finite numbers."
            )
    return values


def check_shape(name: str, found: tuple[int, ...], expected: tuple[int, int]) -> None:
    """Refuse scores of another shape than (evaluation rows, pool rows).

    Raises:
        EmbeddingError: They are.
    """
    if tuple(found) == expected:
        return
    hint = " Transpose them." if tuple(found) == expected[::-1] else ""
    raise EmbeddingError(
        f"{name}: expected scores of {counted(expected[0], 'evaluation row')} × "
        f"{counted(expected[1], 'pool row')}, found shape {tuple(found)}.{hint}"
    )
