"""The files of an embedding store (see `airrep.store`): read, written, locked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from airrep.console.wording import shortened
from airrep.disk.atomic import atomic_file
from airrep.disk.digests import file_digest
from airrep.disk.durable import sync_directory
from airrep.disk.locks import try_lock
from airrep.disk.sealed import check_format, reading
from airrep.errors import EmbeddingError, StoreError
from airrep.shards.embedding_file import EmbeddingFile

MANIFEST = "manifest.json"
FORMAT = 1
DTYPES = ("float32", "float16")
ENDINGS = ("npy", "parquet")  # of a shard's files
SETTINGS = ("encoder", "template", "dim", "dtype")
# also what workers write until it counts, under names that no other run uses
SHARD_FILE = re.compile(r"shard-\d{5,}(-[0-9a-f]{8})?\.(npy|parquet)")
_KEY = b"curate"


def how_to_mend(directory: Path) -> str:
    """What to do about a damaged shard."""
    return (
        f"`curate verify {directory} --repair` drops damaged shards, and the next run encodes "
        "their rows again; or delete the store to encode all of it afresh"
    )


def shard_name(number: int) -> str:
    """What a shard's files are called, without the ending."""
    return f"shard-{number:05d}"


@contextmanager
def only_writer(directory: Path) -> Iterator[None]:
    """Keep other runs from writing to a store; the system lets go if this one is killed.

    Raises:
        StoreError: Another run is writing to it.
        OutputError: It cannot be locked.
    """
    lock = try_lock(directory / ".lock")
    if lock is None:
        raise StoreError(
            "another run is adding to this store",
            where=directory,
            remedy="wait until it is done, or use another directory",
        )
    try:
        yield
    finally:
        lock.release()


def write_shard(
    directory: Path,
    name: str,
    rows: npt.NDArray[np.floating],
    ids: Sequence[str],
    digests: Sequence[bytes],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Write a shard's files; returns what the manifest has to say of it.

    The table says whose shard it is as well, so that a lost manifest can be made anew.

    Args:
        directory: Directory of the store.
        name: Name of the files.
        rows: Embeddings (n, D).
        ids: Ids of the n rows.
        digests: Digests of their texts.
        settings: Settings of the manifest.
    """
    found = {}
    with atomic_file(directory / f"{name}.npy") as file:
        with file.open("wb") as stream:
            np.save(stream, rows, allow_pickle=False)
        found["npy"] = file_digest(file)
    columns = {"id": pa.array(ids, pa.string()), "digest": pa.array(digests, pa.binary(16))}
    about = {"format": FORMAT, **{key: settings[key] for key in SETTINGS}, "npy": found["npy"]}
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(about)})
    with atomic_file(directory / f"{name}.parquet") as file:
        pq.write_table(table, file)
        found["parquet"] = file_digest(file)
    return {"name": name, "rows": len(rows), "digests": found}


def adopt_shard(directory: Path, name: str, number: int, rows: int) -> dict[str, Any]:
    """Give a written shard its place's name; returns what the manifest has to say of it."""
    final = shard_name(number)
    if name != final:
        for ending in ENDINGS:
            (directory / f"{name}.{ending}").replace(directory / f"{final}.{ending}")
        sync_directory(directory)  # before a manifest names them
    digests = {ending: file_digest(directory / f"{final}.{ending}") for ending in ENDINGS}
    return {"name": final, "rows": rows, "digests": digests}


def read_manifest(directory: Path) -> dict[str, Any] | None:
    """A store's manifest, checked; None if there is no store yet.

    Raises:
        StoreError: The directory holds something else, or a damaged or a later version's store.
    """
    file = directory / MANIFEST
    try:
        there = file.exists()
    except OSError as error:  # too long a name, or a directory that is closed to us
        problem = f"cannot be read ({error.strerror})"
        raise StoreError(problem, where=shortened(directory, 200)) from error
    if not there:
        strange = directory.exists() and (
            not directory.is_dir()
            or any(not p.name.startswith((".", MANIFEST)) for p in directory.iterdir())
        )
        if not file.exists():  # another run may have written it just now
            if strange:
                raise StoreError(
                    f"{directory}: something else than an embedding store (no {MANIFEST}); choose "
                    "another directory. If it is a store that lost the file, `curate verify "
                    f"{directory} --repair` writes it anew."
                )
            return None
    remedy = (
        f"`curate verify {directory} --repair` writes it anew if its shards say enough; else "
        "delete the store"
    )
    with reading(file, remedy, StoreError):
        manifest: dict[str, Any] = json.loads(file.read_text("utf-8"))
        check_format(manifest["format"], FORMAT, file, StoreError)
        for number, shard in enumerate(manifest["shards"]):
            if shard["name"] != shard_name(number) or int(shard["rows"]) != shard["rows"]:
                raise ValueError(f"shard {number} is {shard['name']!r}")
        if not manifest.keys() >= set(SETTINGS) or manifest["dtype"] not in DTYPES:
            raise ValueError("a setting is missing or unknown")
    return manifest


def shard_facts(table: Path) -> dict[str, Any] | None:
    """What a shard's table says of itself: settings, rows, digest of its .npy file.

    None where the table cannot be read, or was written before tables said anything.
    """
    try:
        found = pq.read_metadata(table)
        about: dict[str, Any] = json.loads((found.metadata or {})[_KEY])
        facts = {key: about[key] for key in (*SETTINGS, "npy")}
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None
    return {**facts, "rows": found.num_rows}


def open_shard(
    directory: Path, manifest: Mapping[str, Any], number: int
) -> tuple[EmbeddingFile, list[str], list[bytes]]:
    """A shard's embeddings (rows, D), ids and text digests; sizes and shapes are checked.

    Raises:
        StoreError: A file is missing, cut, or not the manifest's.
    """
    name, rows = manifest["shards"][number]["name"], manifest["shards"][number]["rows"]
    file = directory / f"{name}.npy"
    try:
        shard = EmbeddingFile(file.absolute())  # other processes may read it
        table = pq.read_table(directory / f"{name}.parquet")
        ids, digests = table["id"].to_pylist(), table["digest"].to_pylist()
    except (EmbeddingError, OSError, ValueError, KeyError, pa.ArrowException) as error:
        problem = error.problem if isinstance(error, EmbeddingError) else str(error)
        raise StoreError(
            f"the shard is missing or damaged ({problem})",
            where=file,
            remedy=how_to_mend(directory),
        ) from error
    shape, dtype = (rows, manifest["dim"]), manifest["dtype"]
    if shard.shape != shape or shard.dtype != dtype or table.num_rows != rows:
        found = f"{shard.shape} {shard.dtype} with {table.num_rows} ids"
        problem = f"expected {shape} {dtype}, found {found}"
        raise StoreError(problem, where=file, remedy=how_to_mend(directory))
    return shard, ids, digests
