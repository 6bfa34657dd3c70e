"""Embeddings in one .npy file, read a slice at a time.

A memory map would do the same, but what was read of it counts as resident memory of the process
until the system wants it back: after one pass, the whole file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from airrep.errors import EmbeddingError


class EmbeddingFile:
    """Rows (N, D) of a .npy file in C order; for `ScoreMatrix.from_embeddings`.

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
        except (OSError, ValueError, KeyError) as error:
            raise EmbeddingError(
                f"{self.path}: not an .npy file that can be read ({error!r})."
            ) from error
        if len(self.shape) != 2 or columns_first or self.dtype.kind != "f":
            raise EmbeddingError(
                f"{self.path}: expected rows (N, D) of floating-point numbers in C order, found "
                f"shape {self.shape}, {self.dtype}{', Fortran order' if columns_first else ''}."
            )
        expected = self._start + self.dtype.itemsize * self.shape[0] * self.shape[1]
        found = self.path.stat().st_size
        if found != expected:
            raise EmbeddingError(
                f"{self.path}: expected {expected:,} bytes for {self.shape[0]:,} rows, found "
                f"{found:,}; the file is truncated or damaged. Write it again."
            )

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice) -> npt.NDArray[np.floating]:
        start, stop, step = rows.indices(len(self))
        width = int(self.shape[1])
        count = max(stop - start, 0)
        offset = self._start + self.dtype.itemsize * width * start
        found = np.fromfile(self.path, self.dtype, count * width, offset=offset)
        return found.reshape(count, width)[::step]
