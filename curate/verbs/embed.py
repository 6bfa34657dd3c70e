"""The verb `embed`: a pool in, a store of its embeddings out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from airrep.disk.paths import user_path
from airrep.engines import EngineName, check_engine, started
from airrep.errors import ArgumentError
from airrep.records import with_roles
from airrep.store import EmbeddingStore, FingerprintedEncoder, StoredEmbeddings
from curate.rows.io import OnBadRow
from curate.stages.destination import check_apart
from curate.stages.inputs import Source, read_input
from curate.stages.scorer_choice import load_encoder

if TYPE_CHECKING:
    from airrep.encoder import AirRep


def embed(
    pool: Source,
    store: str | Path,
    *,
    encoder: str | Path | AirRep | None = None,
    columns: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    on_bad_row: OnBadRow = "error",
    tokens_per_batch: int = 4096,
    engine: EngineName = "local",
    progress: bool = False,
) -> StoredEmbeddings:
    """Encode a pool into a store, where later selections find it. Only new rows are encoded.

    Args:
        pool: Rows to encode; anything that `select` takes.
        store: Directory of the store; created, resumed or added to.
        encoder: A checkpoint directory or hub id; default the built-in one.
        columns: Which field is what, where that is not obvious; see `select`.
        roles: Names of speakers in conversations to what they are; see `select`.
        on_bad_row: What to do with a row that cannot be read: error, or skip.
        tokens_per_batch: Padded tokens encoded at once on a GPU, where it bounds memory; it changes
            nothing on a CPU.
        engine: Who encodes: local, accelerate or ray; see `select`.
        progress: Show a progress bar.

    Returns:
        The embeddings of the pool's rows, read from disk as needed; how many were reused, encoded
        and changed.

    Raises:
        CurateError: One of its kinds (see `airrep.errors`), with what to do about it.

    Example:
        >>> import curate
        >>> pool, targets = curate.demo_pool(80), curate.demo_targets("email_reply", 2)
        >>> curate.embed(pool[:4], "store").encoded
        4
    """
    check_engine(engine)
    store = user_path(store, "store")
    check_apart(store, {"pool": pool, "encoder": encoder})
    examples = read_input(pool, "pool", with_roles(columns, roles), on_bad_row).examples
    loaded = load_encoder(encoder)
    if not isinstance(loaded, FingerprintedEncoder):
        raise ArgumentError(f"a store needs an AirRep encoder, found {type(loaded).__name__}.")
    with started(engine) as workers:
        return EmbeddingStore(store).embed(
            examples, loaded, tokens_per_batch=tokens_per_batch, progress=progress, engine=workers
        )
