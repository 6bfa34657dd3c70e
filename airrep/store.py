"""Embeddings on disk, found again by the text they stand for.

    store/
      manifest.json           format, encoder and template fingerprints, dim, dtype, shards with
                              their rows and the digests of their files
      shard-00000.npy         embeddings (rows, D), read a slice at a time
      shard-00000.parquet     id and text digest of each row

A shard counts once the manifest names it; every file is written by rename. What an AirRep has
encoded of a shard is kept in parts meanwhile (`airrep.disk.parts`), so that a killed run loses 15
seconds of work and nothing else. Opening a store looks at sizes and shapes; `curate verify`
compares digests, and can drop a damaged shard (`airrep.shards.check`). Rows are known by
their text's digest: a row that moved or is repeated is not encoded again, a row whose text changed
is. One run at a time may add rows (a lock on `.lock`, which the system drops if the run is killed);
reading needs no lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from airrep.console.progress import announce, bar, counted_by
from airrep.console.wording import counted
from airrep.disk.atomic import check_writable, write_json
from airrep.disk.parts import discard
from airrep.disk.paths import user_path
from airrep.engines import Engine, Launched
from airrep.errors import ArgumentError, EmbeddingError, StoreError
from airrep.machine.processes import rank, wait_for_everyone
from airrep.records import Example
from airrep.shards.embedding_file import EmbeddingFile
from airrep.shards.files import (
    DTYPES,
    FORMAT,
    MANIFEST,
    SETTINGS,
    SHARD_FILE,
    adopt_shard,
    how_to_mend,
    only_writer,
    open_shard,
    read_manifest,
    shard_name,
)
from airrep.shards.shard import PARTS, NewShard, TextEncoder
from airrep.template import text_fingerprint

_SHARD_ROWS = 2048
_SHARD_BYTES = 1 << 28  # of its embeddings, which are in memory while it is made
_FEWEST_ROWS = 64  # in a shard that is made smaller so that all workers have one
_SHARDS_EACH = 4  # for every worker, where there are rows enough: who is slower gets fewer


class Template(Protocol):
    """How examples become texts; see `airrep.template.TextTemplate`."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever any text could come out differently."""
        ...

    def render(self, example: Example, /) -> str:
        """The example's text."""
        ...


@runtime_checkable
class FingerprintedEncoder(TextEncoder, Protocol):
    """What a store needs of an encoder: `AirRep`, without the import of torch."""

    name: str

    @property
    def template(self) -> Template:
        """How examples become the texts that it encodes."""
        ...

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


@dataclass(frozen=True, eq=False)
class StoredEmbeddings:
    """Embeddings (n, D) of some examples, in their order; slices are read from disk as float32.

    A slice raises StoreError where a shard was cut or removed since the store was opened.

    Attributes:
        reused: Examples whose embedding was there already.
        encoded: Examples that had to be encoded (copies of a text once).
        changed: How many of the encoded had an id that was known with another text.
    """

    _shards: list[EmbeddingFile]
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
            try:
                found[mine] = self._shards[shard].take(places[mine, 1])
            except EmbeddingError as error:
                remedy = how_to_mend(self._shards[shard].path.parent)
                raise StoreError(error.problem, where=error.where, remedy=remedy) from error
        return found


class EmbeddingStore:
    """A directory of embeddings of one encoder; append-only.

    Example:
        >>> from airrep import AirRep, Example
        >>> rows = [Example("0", "Two and two?", "Four."), Example("1", "Three and three?", "Six.")]
        >>> found = EmbeddingStore("store").embed(rows, AirRep.default())
        >>> found.shape[0], found.encoded
        (2, 2)
    """

    def __init__(self, directory: str | Path, *, dtype: str = "float32") -> None:
        """Open a store, or prepare to create it on the first `embed`.

        Args:
            directory: Where the store lives.
            dtype: "float32" keeps embeddings as they were computed; "float16" halves the disk
                space and rounds them. Only matters when the store is created.

        Raises:
            StoreError: The directory holds something else, or a damaged store.
        """
        if dtype not in DTYPES:
            raise ArgumentError(f"dtype {dtype!r} is unknown; choose from {', '.join(DTYPES)}.")
        self.directory = user_path(directory, "store")
        self._manifest: dict[str, Any] = {"format": FORMAT, "dtype": dtype, "shards": []}
        self._shards: list[EmbeddingFile] = []
        self._place: dict[bytes, tuple[int, int]] = {}
        self._digest_of_id: dict[str, bytes] = {}
        self._written: set[bytes] = set()  # texts of shards that were added and not yet read
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
        engine: Engine | None = None,
    ) -> StoredEmbeddings:
        """The examples' embeddings; those not yet in the store are encoded and added to it.

        Args:
            examples: Whose embeddings.
            encoder: What makes them.
            tokens_per_batch: Padded tokens at once on a GPU, where it bounds memory.
            progress: Show a progress bar.
            engine: Who encodes; default this process, with those of its launcher.

        Raises:
            StoreError: The store was made by another encoder or template, or another run is
                adding to it.
            OutputError: The store's directory cannot be written to.
            EmbeddingError: An embedding is not finite, or does not fit float16.
        """
        self._claim(encoder, reads=True)
        texts = [encoder.template.render(example) for example in examples]
        digests = [text_fingerprint(text) for text in texts]
        encoded = changed = 0
        if self._missing(digests):
            with self._only_writer():
                self._load()  # what another run added until it let go of the store
                self._remove_leftovers()
                self._claim(encoder)
                if rank() == 0 and not self._manifest["shards"]:
                    # Before any shard: shards without a manifest are nobody's, and stay untouched.
                    write_json(self.directory / MANIFEST, self._manifest)
                order = self._missing(digests)
                encoded = len(order)
                changed = sum(
                    self._digest_of_id.get(examples[i].id, digests[i]) != digests[i] for i in order
                )
                engine = engine or Launched()
                shards = self._new_shards(order, examples, texts, digests, engine.at_once)
                there = len(examples) - encoded
                asked = f"{encoded:,} of {counted(len(examples), 'row')}"
                announce("embed", asked, shown=progress)
                with (
                    bar(len(examples), "embed", done=there, shown=progress) as shown,
                    counted_by(shown),
                ):
                    for shard in engine.write(shards, encoder, tokens_per_batch=tokens_per_batch):
                        if rank() == 0:
                            self._add(shard)
                        there += len(shard)
                        shown.reach(there)
            wait_for_everyone()
            self._load()
        places = np.array([self._place[d] for d in digests], dtype=np.int64).reshape(-1, 2)
        return StoredEmbeddings(
            self._shards, places, encoder.dim, len(examples) - encoded, encoded, changed
        )

    def _remove_leftovers(self) -> None:
        """Shards of runs that were killed before these counted, under names that no run uses."""
        if rank() == 0:
            known = {shard["name"] for shard in self._manifest["shards"]}
            for file in self.directory.glob("shard-*-*"):
                if SHARD_FILE.fullmatch(file.name) and file.stem not in known:
                    file.unlink(missing_ok=True)
            self._discard_parts()

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
        with only_writer(self.directory):
            wait_for_everyone()
            yield

    def _claim(self, encoder: FingerprintedEncoder, *, reads: bool = False) -> None:
        """Refuse another encoder's store; one without rows becomes this encoder's.

        What the encoder wrote when it rounded otherwise can be read (`reads`), not continued.
        """
        mine = {
            "encoder": encoder.fingerprint,
            "template": encoder.template.fingerprint,
            "dim": encoder.dim,
        }
        if not self._manifest["shards"]:
            self._manifest.update(mine)
        for key, value in mine.items():
            known = self._manifest[key]
            former = reads and key == "encoder" and getattr(encoder, "former_fingerprint", None)
            if known not in (value, former):
                raise StoreError(
                    f"{self.directory}: this store was made by another model ({key} is {known}, "
                    f"this encoder's is {value}). Weights, template, compute dtype "
                    "and how a version computes all count. "
                    "Use another directory, or delete this one to encode afresh."
                )

    def _new_shards(
        self,
        order: list[int],
        examples: Sequence[Example],
        texts: list[str],
        digests: list[bytes],
        at_once: int,
    ) -> list[NewShard]:
        """What is to be encoded, in parts; named so that no other run writes the same files."""
        fit = _SHARD_BYTES // (4 * self._manifest["dim"])
        rows = min(_SHARD_ROWS, max(_FEWEST_ROWS, fit))
        if at_once > 1:
            share = -(-len(order) // (_SHARDS_EACH * at_once))
            rows = min(rows, max(_FEWEST_ROWS, share))
        # A worker may outlive a run that was killed, and write what nobody waits for any more.
        mark = f"-{uuid4().hex[:8]}" if at_once > 1 else ""
        settings = {key: self._manifest[key] for key in SETTINGS}
        made, known = [], len(self._manifest["shards"])
        for number, start in enumerate(range(0, len(order), rows), known):
            part = order[start : start + rows]
            made.append(
                NewShard(
                    self.directory,
                    f"{shard_name(number)}{mark}",
                    settings,
                    [texts[i] for i in part],
                    [examples[i].id for i in part],
                    [digests[i] for i in part],
                )
            )
        return made

    def _add(self, shard: NewShard) -> None:
        """Let a shard that was written count."""
        shards = self._manifest["shards"]
        shards.append(adopt_shard(self.directory, shard.name, len(shards), len(shard)))
        write_json(self.directory / MANIFEST, self._manifest)
        self._written.update(shard.digests)
        self._discard_parts()

    def _discard_parts(self) -> None:
        """Remove what was kept of shards that count now; rows of other pools stay."""
        discard(
            self.directory,
            PARTS,
            lambda keys: any(key not in self._place and key not in self._written for key in keys),
        )

    def _load(self) -> None:
        """Read the manifest, and the shards that are not in memory yet."""
        manifest = read_manifest(self.directory)
        if manifest is None:
            return
        shards = [(s["name"], s["rows"]) for s in manifest["shards"]]
        known = [(shard.path.stem, len(shard)) for shard in self._shards]
        if shards[: len(known)] != known:  # mended since, by `curate verify --repair`
            self._shards, self._place, self._digest_of_id = [], {}, {}
        self._manifest = manifest
        for number in range(len(self._shards), len(shards)):
            shard, ids, digests = open_shard(self.directory, manifest, number)
            self._shards.append(shard)
            self._digest_of_id.update(zip(ids, digests, strict=True))
            for row, digest in enumerate(digests):
                self._place[digest] = (number, row)
