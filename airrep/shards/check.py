"""An embedding store looked at byte by byte, and mended.

A damaged shard is not taken out of the manifest but replaced by one without rows: shards are found
by their number, by older versions too. The next run encodes the rows that are missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from airrep.disk.atomic import write_json
from airrep.disk.digests import file_digest
from airrep.errors import StoreError
from airrep.shards.files import (
    ENDINGS,
    FORMAT,
    MANIFEST,
    SETTINGS,
    SHARD_FILE,
    only_writer,
    open_shard,
    read_manifest,
    shard_facts,
    shard_name,
    write_shard,
)

_SHARD = re.compile(r"shard-\d{5,}\.(npy|parquet)")


def damaged_shards(directory: Path, manifest: dict[str, Any]) -> Iterator[tuple[int, Path, str]]:
    """Shards that are not what was written: number, the file, and what is wrong with it."""
    for number, shard in enumerate(manifest["shards"]):
        files = {ending: directory / f"{shard['name']}.{ending}" for ending in ENDINGS}
        wrong = {
            file: problem
            for ending, file in files.items()
            if (problem := _problem(file, shard.get("digests", {}).get(ending)))
        }
        if not wrong:  # also of stores without digests
            try:
                open_shard(directory, manifest, number)
            except StoreError as error:
                wrong[files["npy"]] = error.problem
        for file, problem in wrong.items():
            yield number, file, problem


def unnamed_shards(directory: Path, manifest: dict[str, Any] | None) -> list[Path]:
    """Files of shards that the manifest does not name: a run was killed before it did."""
    named = [] if manifest is None else [shard["name"] for shard in manifest["shards"]]
    return [
        file
        for file in sorted(directory.iterdir())
        if SHARD_FILE.fullmatch(file.name) and file.stem not in named
    ]


def misnamed_settings(directory: Path, manifest: dict[str, Any]) -> list[str]:
    """Settings in which the manifest differs from all of the shards that say theirs."""
    said = []
    for shard in manifest["shards"]:
        table = directory / f"{shard['name']}.parquet"
        digest = shard.get("digests", {}).get("parquet")
        if _problem(table, digest) is None and (facts := shard_facts(table)) is not None:
            said.append(facts)
    return [key for key in SETTINGS if said and all(each[key] != manifest[key] for each in said)]


def rebuilt_manifest(directory: Path) -> dict[str, Any] | None:
    """A manifest by what the shards say of themselves; None where they do not, or disagree.

    Shards that cannot be read are named without rows, to be found damaged, and emptied.
    """
    names = sorted({file.stem for file in directory.iterdir() if _SHARD.fullmatch(file.name)})
    tables = [directory / f"{name}.parquet" for name in names]
    found = [shard_facts(table) for table in tables]
    said = [{key: each[key] for key in SETTINGS} for each in found if each is not None]
    numbered = names == [shard_name(number) for number in range(len(names))]
    if not said or said.count(said[0]) != len(said) or not numbered:
        return None
    shards = [
        {"name": table.stem, "rows": 0}
        if facts is None
        else {
            "name": table.stem,
            "rows": facts["rows"],
            "digests": {"npy": facts["npy"], "parquet": file_digest(table)},
        }
        for table, facts in zip(tables, found, strict=True)
    ]
    return {"format": FORMAT, **said[0], "shards": shards}


def rebuild_manifest(directory: Path) -> None:
    """Write such a manifest.

    Raises:
        StoreError: Another run is writing to the store.
        OutputError: It cannot be written to.
    """
    with only_writer(directory):
        manifest = rebuilt_manifest(directory)
        assert manifest is not None
        write_json(directory / MANIFEST, manifest)


def empty_shard(directory: Path, number: int) -> None:
    """Put a shard without rows in the place of a damaged one.

    Raises:
        StoreError: Another run is writing to the store.
        OutputError: It cannot be written to.
    """
    with only_writer(directory):
        manifest = read_manifest(directory)
        assert manifest is not None
        name = manifest["shards"][number]["name"]
        rows = np.zeros((0, manifest["dim"]), dtype=manifest["dtype"])
        manifest["shards"][number] = write_shard(directory, name, rows, [], [], manifest)
        write_json(directory / MANIFEST, manifest)


def remove_unnamed(directory: Path, file: Path) -> None:
    """Remove a file that `unnamed_shards` found.

    Raises:
        StoreError: Another run is writing to the store.
    """
    with only_writer(directory):
        if file in unnamed_shards(directory, read_manifest(directory)):
            file.unlink(missing_ok=True)


def _problem(file: Path, digest: str | None) -> str | None:
    if not file.is_file():
        return "missing"
    if digest is None or file_digest(file) == digest:
        return None
    return "not what was written (its digest differs)"
