"""Embeddings on disk, found again by the text they stand for.

    store/
      manifest.json           format, encoder and template fingerprints, dim, dtype, shards
      shard-00000.npy         embeddings (rows, D), read through memory maps
      shard-00000.parquet     id and text digest of each row

A shard counts once the manifest names it; every file is written by rename. So a killed run loses
the shard it was working on and nothing else. Rows are known by their text's digest: a row that
moved or is repeated is not encoded again, a row whose text changed is. One run at a time may add
rows (a lock on `.lock`, which the system drops if the run is killed); reading needs no lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from airrep.atomic import atomic_file, check_writable, write_json
from airrep.errors import ArgumentError, EmbeddingError, StoreError
from airrep.processes import rank, wait_for_everyone
from airrep.records import Example
from airrep.template import TextTemplate, text_fingerprint

_FORMAT = 1
_SHARD_ROWS = 2048
_DTYPES = ("float32", "float16")


@runtime_checkable
class FingerprintedEncoder(Protocol):
    """What a store needs of an encoder: `AirRep`, without the import of torch."""

    name: str
    template: TextTemplate

    @property
    def precision(self) -> str:
        """What the encoder computes in."""
        ...

    @property
    def fingerprint(self) -> str:
        """Equal for equal embeddings."""
        ...

    @property
    def dim(self) -> int:
        """Embedding size D."""
        ...

    def encode(self, inputs: Any, /, *, tokens_per_batch: int = ...) -> npt.NDArray[np.float32]:  # noqa: ANN401
        """Texts to embeddings (n, D)."""
        ...


@dataclass(frozen=True, eq=False)
class StoredEmbeddings:
    """Embeddings (n, D) of some examples, in their order; slices are read from disk as float32.

    Attributes:
        reused: Examples whose embedding was there already.
        encoded: Examples that had to be encoded (copies of a text once).
        changed: Of the encoded, those whose id was known with another text.
    """

    _shards: list[npt.NDArray[np.floating]]
    _places: npt.NDArray[np.int64]  # (n, 2): shard, row in it
    _dim: int
    reused: int
    encoded: int
    changed: int

    @property
    def shape(self) -> tuple[int, int]:
        """(n, D)."""
        return len(self._places), self._dim

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, rows: slice) -> npt.NDArray[np.float32]:
        places = self._places[rows]
        found = np.empty((len(places), self.shape[1]), dtype=np.float32)
        for shard in np.unique(places[:, 0]):
            mine = places[:, 0] == shard
            found[mine] = self._shards[shard][places[mine, 1]]
        return found


class EmbeddingStore:
    """A directory of embeddings of one encoder; append-only."""

    def __init__(self, directory: str | Path, *, dtype: str = "float32") -> None:
        """Open a store, or prepare to create it on the first `embed`.

        Args:
            directory: Where the store lives.
            dtype: "float32" keeps embeddings as they were computed; "float16" halves the disk
                space and rounds them. Only matters when the store is created.

        Raises:
            StoreError: The directory holds something else, or a damaged store.
        """
        if dtype not in _DTYPES:
            raise ArgumentError(f"dtype {dtype!r} is unknown; choose from {', '.join(_DTYPES)}.")
        self.directory = Path(directory)
        self._manifest: dict[str, Any] = {"format": _FORMAT, "dtype": dtype, "shards": []}
        self._shards: list[npt.NDArray[np.floating]] = []
        self._place: dict[bytes, tuple[int, int]] = {}
        self._digest_of_id: dict[str, bytes] = {}
        self._load()

    def __len__(self) -> int:
        return sum(len(shard) for shard in self._shards)

    def embed(
        self,
        examples: Sequence[Example],
        encoder: FingerprintedEncoder,
        *,
        tokens_per_batch: int = 4096,
        progress: bool = False,
    ) -> StoredEmbeddings:
        """The examples' embeddings; those not yet in the store are encoded and added to it.

        Raises:
            StoreError: The store was made by another encoder or template, or another run is
                adding to it.
            OutputError: The store's directory cannot be written to.
            EmbeddingError: An embedding is not finite, or does not fit float16.
        """
        self._claim(encoder)
        texts = [encoder.template.render(example) for example in examples]
        digests = [text_fingerprint(text) for text in texts]
        encoded = changed = 0
        if self._missing(digests):
            with (
                self._only_writer(),
                tqdm(
                    total=len(examples),
                    desc="embed",
                    unit="row",
                    disable=not progress or rank() > 0,
                ) as bar,
            ):
                self._load()  # what another run added until it let go of the store
                self._claim(encoder)
                order = self._missing(digests)
                encoded = len(order)
                changed = sum(
                    self._digest_of_id.get(examples[i].id, digests[i]) != digests[i] for i in order
                )
                bar.update(len(examples) - encoded)
                for start in range(0, encoded, _SHARD_ROWS):
                    part = order[start : start + _SHARD_ROWS]
                    rows = encoder.encode(
                        [texts[i] for i in part], tokens_per_batch=tokens_per_batch
                    )
                    if rank() == 0:
                        ids = [examples[i].id for i in part]
                        self._append(rows, ids, [digests[i] for i in part])
                    bar.update(len(part))
            wait_for_everyone()
            self._load()
        places = np.array([self._place[d] for d in digests], dtype=np.int64).reshape(-1, 2)
        return StoredEmbeddings(
            self._shards, places, encoder.dim, len(examples) - encoded, encoded, changed
        )

    def _missing(self, digests: list[bytes]) -> list[int]:
        """Positions, ascending, of the texts that the store lacks; of copies the first."""
        first = {d: i for i, d in reversed(list(enumerate(digests))) if d not in self._place}
        return sorted(first.values())

    @contextmanager
    def _only_writer(self) -> Iterator[None]:
        """Keep other runs from adding to the store; the system lets go if this one is killed."""
        if rank() > 0:
            wait_for_everyone()
            yield
            return
        check_writable(self.directory)
        lock = FileLock(self.directory / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise StoreError(
                f"{self.directory}: another run is adding to this store; wait until it is done, or "
                "use another directory."
            ) from error
        try:
            wait_for_everyone()
            yield
        finally:
            lock.release()

    def _claim(self, encoder: FingerprintedEncoder) -> None:
        """Refuse another encoder's store; a new one becomes this encoder's."""
        mine = {
            "encoder": encoder.fingerprint,
            "template": encoder.template.fingerprint,
            "dim": encoder.dim,
        }
        for key, value in mine.items():
            known = self._manifest.setdefault(key, value)
            if known != value:
                raise StoreError(
                    f"{self.directory}: this store was made by another model ({key} is {known}, "
                    f"this encoder's is {value}). Weights, template and compute dtype all count. "
                    "Use another directory, or delete this one to encode afresh."
                )

    def _append(self, rows: npt.NDArray[np.float32], ids: list[str], digests: list[bytes]) -> None:
        with np.errstate(over="ignore"):
            stored = rows.astype(self._manifest["dtype"])
        if not np.isfinite(stored).all():
            raise EmbeddingError(
                f"{self.directory}: an embedding exceeds the range of {stored.dtype}; create the "
                'store with dtype="float32".'
            )
        name = f"shard-{len(self._manifest['shards']):05d}"
        with atomic_file(self.directory / f"{name}.npy") as file, file.open("wb") as stream:
            np.save(stream, stored, allow_pickle=False)
        table = pa.table({"id": ids, "digest": pa.array(digests, pa.binary(16))})
        with atomic_file(self.directory / f"{name}.parquet") as file:
            pq.write_table(table, file)
        self._manifest["shards"].append({"name": name, "rows": len(rows)})
        write_json(self.directory / "manifest.json", self._manifest)

    def _load(self) -> None:
        """Read the manifest, and the shards that are not in memory yet."""
        file = self.directory / "manifest.json"
        try:
            there = file.exists()
        except OSError as error:  # too long a name, or a directory that is closed to us
            raise StoreError(
                f"{self.directory!s:.200}: cannot be read ({error.strerror})."
            ) from error
        if not there:
            if self.directory.exists() and (
                not self.directory.is_dir()
                or any(not p.name.startswith((".", "shard-")) for p in self.directory.iterdir())
            ):
                raise StoreError(
                    f"{self.directory}: something else than an embedding store (no manifest.json); "
                    "choose another directory."
                )
            return
        try:
            manifest = json.loads(file.read_text("utf-8"))
            if manifest["format"] != _FORMAT:
                raise StoreError(
                    f"{file}: format {manifest['format']!r} is not the one this version reads "
                    f"({_FORMAT}); use the version that wrote it, or delete the store."
                )
            shards = [(str(s["name"]), int(s["rows"])) for s in manifest["shards"]]
            complete = {"encoder", "template", "dim"} <= manifest.keys()
            if not complete or manifest["dtype"] not in _DTYPES:
                raise ValueError("a setting is missing or unknown")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{file}: damaged ({error!r}); delete the store.") from error
        self._manifest = manifest
        for number, (name, rows) in enumerate(shards[len(self._shards) :], len(self._shards)):
            self._open_shard(number, name, rows)

    def _open_shard(self, number: int, name: str, rows: int) -> None:
        file = self.directory / f"{name}.npy"
        try:
            shard = np.load(file, mmap_mode="r", allow_pickle=False)
            table = pq.read_table(self.directory / f"{name}.parquet")
            ids, digests = table["id"].to_pylist(), table["digest"].to_pylist()
        except (OSError, ValueError, EOFError, KeyError, pa.ArrowException) as error:
            raise StoreError(
                f"{file}: the shard is missing or damaged ({error}). Delete the store to encode "
                "afresh."
            ) from error
        shape, dtype = (rows, self._manifest["dim"]), self._manifest["dtype"]
        if shard.shape != shape or shard.dtype != dtype or table.num_rows != rows:
            raise StoreError(
                f"{file}: expected {shape} {dtype}, found {shard.shape} {shard.dtype} with "
                f"{table.num_rows} ids. Delete the store to encode afresh."
            )
        self._shards.append(shard)
        self._digest_of_id.update(zip(ids, digests, strict=True))
        for row, digest in enumerate(digests):
            self._place[digest] = (number, row)
