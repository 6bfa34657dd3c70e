"""Texts that are to become a shard of a store, wherever they are encoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from airrep.disk.parts import kept_in
from airrep.errors import EmbeddingError
from airrep.shards.files import write_shard

PARTS = "encoding"  # what files of parts are called, in the store's directory


class TextEncoder(Protocol):
    """What a shard needs of an encoder."""

    def encode(self, inputs: Any, /, *, tokens_per_batch: int = ...) -> npt.NDArray[np.float32]:  # noqa: ANN401
        """Texts to embeddings (n, D)."""
        ...


@dataclass(frozen=True)
class NewShard:
    """See the module.

    Attributes:
        directory: Directory of the store.
        name: Name of the files, without the ending. Where several workers write, a name that no
            other run uses: one may outlive its run, and write what nobody waits for any more.
        settings: Settings of the store's manifest.
        texts: To encode.
        ids: Ids of their rows.
        digests: Digests of the texts.
    """

    directory: Path
    name: str
    settings: Mapping[str, Any]
    texts: list[str] = field(repr=False)
    ids: list[str] = field(repr=False)
    digests: list[bytes] = field(repr=False)

    def __len__(self) -> int:
        return len(self.texts)

    def encoded(self, encoder: TextEncoder, *, tokens_per_batch: int) -> npt.NDArray[np.float32]:
        """The texts' embeddings (n, D); an AirRep keeps parts of them in the store meanwhile."""
        with kept_in(self.directory, PARTS):
            return encoder.encode(self.texts, tokens_per_batch=tokens_per_batch)

    def write(self, embeddings: npt.NDArray[np.float32]) -> None:
        """Write the embeddings (n, D) of the texts; each file appears whole or not at all.

        Raises:
            EmbeddingError: One does not fit the store's dtype.
            OutputError: The directory cannot be written to.
        """
        with np.errstate(over="ignore"):
            stored = embeddings.astype(self.settings["dtype"])
        if not np.isfinite(stored).all():
            raise EmbeddingError(
                f"{self.directory}: an embedding exceeds the range of {stored.dtype}; create the "
                'store with dtype="float32".'
            )
        write_shard(self.directory, self.name, stored, self.ids, self.digests, self.settings)
