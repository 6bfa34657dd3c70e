"""Embedding stores."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from airrep.errors import StoreError
from airrep.store_check import damaged_shards, empty_shard, remove_unnamed, unnamed_shards
from airrep.store_files import MANIFEST, read_manifest
from curate.verify.findings import Finding, Place

KIND = "embedding store"


def check_store(directory: Path) -> Place:
    """Compare every shard with the digests in the manifest."""
    try:
        manifest = read_manifest(directory)
    except StoreError as error:
        mend = "restore the file from a copy, or delete the store to encode all of it afresh"
        found = Finding(directory / MANIFEST, str(error.__cause__ or error), mend)
        return Place(directory, KIND, "its manifest cannot be read", [found])
    findings = []
    if manifest is not None:
        findings = [
            Finding(
                file, problem, "the shard is dropped, and the next run encodes its rows again",
                partial(empty_shard, directory, number),
            )
            for number, file, problem in damaged_shards(directory, manifest)
        ]  # fmt: skip
    findings += [
        Finding(
            file, "of a shard that the manifest does not name: a run was killed before it did",
            "it is removed; the next run writes it anew",
            partial(remove_unnamed, directory, file),
        )
        for file in unnamed_shards(directory, manifest)
    ]  # fmt: skip
    shards = [] if manifest is None else manifest["shards"]
    old = sum("digests" not in shard for shard in shards)
    note = f"{sum(shard['rows'] for shard in shards):,} rows in {len(shards):,} shards"
    note += f" ({old:,} without digests, of an older version)" if old else ""
    return Place(directory, KIND, note, findings)
