"""Embeddings in one .npy file, read a slice at a time.

A memory map would do the same, but what was read of it counts as resident memory of the process
until the system wants it back: after one pass, the whole file. And a process that reads a map of a
file that was cut meanwhile is killed; here that is an error.
"""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.errors import EmbeddingError

# What NumPy raises on damaged files: it takes headers for Python's source.
NPY_ERRORS = (OSError, ValueError, KeyError, TypeError, EOFError, SyntaxError, TokenError)
_DENSE = 8  # of so many neighboring rows at least one has to be wanted, to read them all


class EmbeddingFile:
    """Rows (N, D) of a .npy file in C order; for `EmbeddingScores`.

    Attributes:
        path: The file.
        shape: (N, D).
        dtype: float16, float32 or float64.
    """

    def __init__(self, path: str | Path) -> None:
        """Read the header.

        Raises:
            EmbeddingError: There is no such file, it is no .npy file of floating-point rows, or it
                is shorter than its header says.
        """
        self.path = Path(path)
        try:
            with self.path.open("rb") as file:
                version = np.lib.format.read_magic(file)
                read = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                self.shape, columns_first, self.dtype = read(file)
                self._start = file.tell()
        except NPY_ERRORS as error:
            problem = f"not an .npy file that can be read ({error!r})"
            raise EmbeddingError(problem, where=self.path) from error
        if len(self.shape) != 2 or columns_first or self.dtype.kind != "f":
            raise EmbeddingError(
                f"expected rows (N, D) of floating-point numbers in C order, found shape "
                f"{self.shape}, {self.dtype}{', Fortran order' if columns_first else ''}",
                where=self.path,
            )
        expected = self._start + self.dtype.itemsize * self.shape[0] * self.shape[1]
        found = self.path.stat().st_size
        if found != expected:
            raise EmbeddingError(
                f"expected {expected:,} bytes for {counted(self.shape[0], 'row')}, found "
                f"{found:,}; the file is truncated or damaged",
                where=self.path,
                remedy="Write it again",
            )

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice) -> npt.NDArray[np.floating]:
        start, stop, step = rows.indices(len(self))
        return self._read(start, max(stop - start, 0))[::step]

    def take(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.floating]:
        """Some rows (n,), as (n, D), in their order.

        Raises:
            EmbeddingError: The file was cut since it was opened.
        """
        if len(rows) == 0:
            return self._read(0, 0)
        first, last = int(rows.min()), int(rows.max())
        if last - first < _DENSE * len(rows):
            return self._read(first, last - first + 1)[rows - first]
        found = np.empty((len(rows), self.shape[1]), self.dtype)
        width = found.itemsize * self.shape[1]
        try:
            with self.path.open("rb", buffering=0) as file:
                for row, into in zip(rows.tolist(), found, strict=True):
                    file.seek(self._start + width * row)
                    if file.readinto(into) != width:
                        raise self._cut(row, 1, 0)
        except OSError as error:
            raise EmbeddingError(f"cannot be read ({error})", where=self.path) from error
        return found

    def _read(self, start: int, count: int) -> npt.NDArray[np.floating]:
        width = int(self.shape[1])
        offset = self._start + self.dtype.itemsize * width * start
        try:
            found = np.fromfile(self.path, self.dtype, count * width, offset=offset)
        except OSError as error:
            raise EmbeddingError(f"cannot be read ({error})", where=self.path) from error
        if len(found) != count * width:
            raise self._cut(start, count, len(found) // width)
        return found.reshape(count, width)

    def _cut(self, start: int, expected: int, found: int) -> EmbeddingError:
        return EmbeddingError(
            f"was cut since it was opened: expected {counted(expected, 'row')} from row {start:,} "
            f"on, found {found:,}",
            where=self.path,
            remedy="Write it again",
        )
