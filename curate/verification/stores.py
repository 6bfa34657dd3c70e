"""Embedding stores."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from airrep.console.wording import counted
from airrep.errors import StoreError
from airrep.shards.check import (
    damaged_shards,
    empty_shard,
    misnamed_settings,
    rebuild_manifest,
    rebuilt_manifest,
    remove_unnamed,
    unnamed_shards,
)
from airrep.shards.files import MANIFEST, read_manifest
from curate.verification.findings import Finding, Place

KIND = "embedding store"


def check_store(directory: Path) -> Place:
    """Compare every shard with the digests in the manifest."""
    try:
        manifest = read_manifest(directory)
        if manifest is None and any(directory.glob("shard-*.parquet")):
            raise StoreError("missing", where=directory / MANIFEST)
        if manifest and (wrong := misnamed_settings(directory, manifest)):
            raise StoreError(f"{' and '.join(wrong)} differ from what its shards say")
    except StoreError as error:
        return Place(directory, KIND, "without its manifest", [_manifest_lost(directory, error)])
    findings = []
    if manifest is not None:
        findings = [
            Finding(
                file,
                problem,
                "the shard is dropped, and the next run encodes its rows again",
                partial(empty_shard, directory, number),
            )
            for number, file, problem in damaged_shards(directory, manifest)
        ]
    findings += [
        Finding(
            file,
            "of a shard that the manifest does not name: a run was killed before it did",
            "it is removed; the next run writes it anew",
            partial(remove_unnamed, directory, file),
        )
        for file in unnamed_shards(directory, manifest)
    ]
    shards = [] if manifest is None else manifest["shards"]
    old = sum("digests" not in shard for shard in shards)
    rows = counted(sum(shard["rows"] for shard in shards), "row")
    note = f"{rows} in {counted(len(shards), 'shard')}"
    note += f" ({old:,} without digests, of an older version)" if old else ""
    return Place(directory, KIND, note, findings)


def _manifest_lost(directory: Path, error: StoreError) -> Finding:
    file, problem = directory / MANIFEST, error.problem.removesuffix(".")
    if rebuilt_manifest(directory) is None:
        mend = "restore the file from a copy, or delete the store to encode all of it afresh"
        return Finding(file, problem, mend)
    mend = "it is written anew from what the shards say of themselves"
    return Finding(file, problem, mend, partial(rebuild_manifest, directory))
