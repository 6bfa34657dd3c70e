"""One shard of a store: written by whoever encoded it, read a few rows at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from airrep.atomic import atomic_file
from airrep.errors import EmbeddingError, StoreError


@dataclass(frozen=True)
class NewShard:
    """Texts that are to become a shard.

    Attributes:
        path: Of the .npy file; ids and digests go beside it.
        dtype: What embeddings are kept in.
        texts: To encode.
        ids: Of their rows.
        digests: Of the texts.
    """

    path: Path
    dtype: str
    texts: list[str] = field(repr=False)
    ids: list[str] = field(repr=False)
    digests: list[bytes] = field(repr=False)

    @property
    def name(self) -> str:
        """What the manifest calls it."""
        return self.path.stem

    def __len__(self) -> int:
        return len(self.texts)

    def write(self, embeddings: npt.NDArray[np.float32]) -> None:
        """Write the embeddings (n, D) of the texts; each file appears whole or not at all.

        Raises:
            EmbeddingError: One does not fit the dtype.
            OutputError: The directory cannot be written to.
        """
        with np.errstate(over="ignore"):
            stored = embeddings.astype(self.dtype)
        if not np.isfinite(stored).all():
            raise EmbeddingError(
                f"{self.path.parent}: an embedding exceeds the range of {stored.dtype}; create the "
                'store with dtype="float32".'
            )
        with atomic_file(self.path) as file, file.open("wb") as stream:
            np.save(stream, stored, allow_pickle=False)
        table = pa.table({"id": self.ids, "digest": pa.array(self.digests, pa.binary(16))})
        with atomic_file(self.path.with_suffix(".parquet")) as file:
            pq.write_table(table, file)


@dataclass(frozen=True)
class Shard:
    """Embeddings (n, D) of a shard; the file is open only while it is read from.

    So a store may have more shards than a process may have open files, and another process that is
    handed a shard reads the file itself.

    Attributes:
        path: Of the .npy file.
        shape: (n, D).
        dtype: What embeddings are kept in.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, path: Path) -> Shard:
        """The shard in this file.

        Raises:
            StoreError: It is missing or damaged.
        """
        rows = _open(path.absolute())
        return cls(path.absolute(), rows.shape, rows.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.floating]:
        return np.asarray(_open(self.path)[rows])

    def labels(self) -> tuple[list[str], list[bytes]]:
        """Ids and digests of its rows.

        Raises:
            StoreError: Their file is missing or damaged.
        """
        try:
            table = pq.read_table(self.path.with_suffix(".parquet"))
            return table["id"].to_pylist(), table["digest"].to_pylist()
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise damaged(self.path, error) from error


def _open(path: Path) -> npt.NDArray[np.floating]:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, reason: object) -> StoreError:
    """The error for a shard that cannot be read."""
    return StoreError(
        f"{path}: the shard is missing or damaged ({reason}). Delete the store to encode afresh."
    )
