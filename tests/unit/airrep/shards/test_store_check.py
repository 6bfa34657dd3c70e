"""A damaged store: found byte by byte, mended without losing what is whole, by any version."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from airrep import store as store_module
from airrep.errors import EmbeddingError, StoreError
from airrep.records import Example
from airrep.shards.check import (
    damaged_shards,
    empty_shard,
    misnamed_settings,
    rebuild_manifest,
    rebuilt_manifest,
    remove_unnamed,
    unnamed_shards,
)
from airrep.shards.embedding_file import EmbeddingFile
from airrep.shards.files import read_manifest
from airrep.store import EmbeddingStore
from airrep.template import TextTemplate

DIM = 6


class Encoder:
    """Embeds a text as the bytes of its digest would have it."""

    name, fingerprint, precision, dim = "numbers", "one", "float32", DIM

    def __init__(self):
        self.template = TextTemplate()
        self.encoded = []

    def encode(self, texts, *, tokens_per_batch=0):
        self.encoded += texts
        return np.array(
            [np.random.default_rng(list(t.encode())).normal(size=DIM) for t in texts], np.float32
        )


def examples(*numbers):
    return [Example(f"id-{n}", f"what is {n}?", f"it is {n}") for n in numbers]


@pytest.fixture
def filled(tmp_path, monkeypatch):
    """10 rows in shards of 4, 4 and 2."""
    monkeypatch.setattr(store_module, "_SHARD_ROWS", 4)
    EmbeddingStore(tmp_path).embed(examples(*range(10)), Encoder())
    return tmp_path


@pytest.fixture
def whole(filled):
    return EmbeddingStore(filled).embed(examples(*range(10)), Encoder())[:]


def wrong(directory):
    return {(n, f.name) for n, f, _ in damaged_shards(directory, read_manifest(directory))}


def edit(directory, change):
    manifest = json.loads((directory / "manifest.json").read_text())
    change(manifest)
    (directory / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["shard-00001.npy", "shard-00001.parquet"])
def test_every_bit_of_a_shard_counts(filled, name):
    assert wrong(filled) == set()
    file = filled / name
    content = file.read_bytes()
    for at in range(0, len(content), 5):
        file.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        assert wrong(filled) == {(1, name)}


@pytest.mark.parametrize("name", ["shard-00000.npy", "shard-00001.parquet", "shard-00002.npy"])
@pytest.mark.parametrize("kept", [None, 0, 50])
def test_a_dropped_shard_is_encoded_again_and_nothing_else(filled, whole, name, kept):
    content = (filled / name).read_bytes()
    (filled / name).unlink()
    if kept is not None:
        (filled / name).write_bytes(content[:kept])
    ((number, found),) = wrong(filled)
    assert found == name
    empty_shard(filled, number)
    assert wrong(filled) == set()
    encoder = Encoder()
    stored = EmbeddingStore(filled).embed(examples(*range(10)), encoder)
    shard = [f"what is {n}?" for n in range(10)][4 * number : 4 * number + 4]
    assert [text.splitlines()[0] for text in encoder.encoded] == [f"Question: {t}" for t in shard]
    assert np.array_equal(stored[:], whole)


def test_a_reader_of_before_finds_a_mended_store_in_order(filled):
    """It counts shards to name the next one, and trusts rows and names of the manifest alone."""
    empty_shard(filled, 1)
    manifest = json.loads((filled / "manifest.json").read_text())
    assert [shard["name"] for shard in manifest["shards"]] == [
        "shard-00000", "shard-00001", "shard-00002",
    ]  # fmt: skip
    for shard in manifest["shards"]:
        rows = np.load(filled / f"{shard['name']}.npy", mmap_mode="r")
        assert rows.shape == (shard["rows"], DIM)


def test_a_store_of_before_there_were_digests_is_read_checked_and_added_to(filled, whole):
    edit(filled, lambda m: [shard.pop("digests") for shard in m["shards"]])
    assert wrong(filled) == set()
    stored = EmbeddingStore(filled).embed(examples(*range(12)), Encoder())
    assert stored.encoded == 2
    assert np.array_equal(stored[:10], whole)
    (filled / "shard-00001.npy").write_bytes((filled / "shard-00001.npy").read_bytes()[:-1])
    assert wrong(filled) == {(1, "shard-00001.npy")}


def test_keys_of_a_later_version_are_ignored_and_kept(filled):
    edit(filled, lambda m: (m.update(later=1), m["shards"][0].update(later=2)))
    EmbeddingStore(filled).embed(examples(*range(12)), Encoder())
    manifest = json.loads((filled / "manifest.json").read_text())
    assert (manifest["later"], manifest["shards"][0]["later"]) == (1, 2)


def test_a_shard_that_no_manifest_names_is_found_and_only_that_is_removed(filled, whole):
    stray = filled / "shard-00003.npy"
    stray.write_bytes((filled / "shard-00002.npy").read_bytes())
    assert unnamed_shards(filled, read_manifest(filled)) == [stray]
    remove_unnamed(filled, stray)
    remove_unnamed(filled, filled / "shard-00002.npy")
    assert not stray.exists()
    assert np.array_equal(EmbeddingStore(filled).embed(examples(*range(10)), Encoder())[:], whole)


def test_a_shard_cut_while_it_is_open_is_an_error_and_no_dead_process(filled, whole):
    """A read of a memory map would end the process with SIGBUS."""
    stored = EmbeddingStore(filled).embed(examples(*range(10)), Encoder())
    (filled / "shard-00001.npy").write_bytes((filled / "shard-00001.npy").read_bytes()[:-30])
    assert np.array_equal(stored[0:4], whole[0:4])
    with pytest.raises(StoreError, match=r"shard-00001.npy: was cut since .*curate verify"):
        stored[0:8]
    (filled / "shard-00001.npy").unlink()
    with pytest.raises(StoreError, match=r"shard-00001.npy: cannot be read"):
        stored[0:8]


@pytest.mark.parametrize("wanted", [[], [3], [39, 0, 0, 17], [*range(40)], [30, 29, 31]])
def test_rows_are_read_wherever_they_are(tmp_path, wanted):
    rows = np.random.default_rng(0).normal(size=(40, DIM))
    np.save(tmp_path / "x.npy", rows)
    file = EmbeddingFile(tmp_path / "x.npy")
    assert np.array_equal(file.take(np.array(wanted, dtype=np.int64)), rows[wanted])
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[: 128 + 20])
    if wanted:
        with pytest.raises(EmbeddingError, match=r"x\.npy: was cut since it was opened"):
            file.take(np.array(wanted, dtype=np.int64))


def test_a_store_that_was_mended_while_it_was_open_is_read_anew(filled, whole):
    store = EmbeddingStore(filled)
    store.embed(examples(*range(10)), Encoder())
    empty_shard(filled, 0)
    encoder = Encoder()
    EmbeddingStore(filled).embed(examples(*range(10)), encoder)
    again = store.embed(examples(*range(11)), encoder)
    assert len(encoder.encoded) == 4 + 1
    assert np.array_equal(again[:10], whole)


def test_nothing_is_mended_while_a_run_adds_rows(filled):
    from filelock import FileLock

    with FileLock(filled / ".lock"), pytest.raises(StoreError, match="another run is adding"):
        empty_shard(filled, 0)


# --- the manifest ------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["missing", "cut", "another encoder"])
def test_a_lost_manifest_is_made_anew_by_what_the_shards_say(filled, whole, lost):
    before = json.loads((filled / "manifest.json").read_text())
    if lost == "missing":
        (filled / "manifest.json").unlink()
    elif lost == "cut":
        (filled / "manifest.json").write_text('{"format": 1, "sh')
    else:
        edit(filled, lambda m: m.update(encoder="two"))
        assert misnamed_settings(filled, read_manifest(filled)) == ["encoder"]
    rebuild_manifest(filled)
    assert json.loads((filled / "manifest.json").read_text()) == before
    stored = EmbeddingStore(filled).embed(examples(*range(10)), Encoder())
    assert stored.encoded == 0
    assert np.array_equal(stored[:], whole)


def test_a_shard_that_cannot_be_read_comes_back_without_rows(filled, whole):
    (filled / "manifest.json").unlink()
    (filled / "shard-00000.parquet").write_bytes(b"PAR1")
    rebuild_manifest(filled)
    ((number, _),) = wrong(filled)
    empty_shard(filled, number)
    stored = EmbeddingStore(filled).embed(examples(*range(10)), Encoder())
    assert stored.encoded == 4
    assert np.array_equal(stored[:], whole)


def test_shards_of_two_stores_or_of_before_they_said_anything_make_no_manifest(filled, tmp_path):
    other = Encoder()
    other.fingerprint = "two"
    EmbeddingStore(tmp_path / "other").embed(examples(1), other)
    for ending in ("npy", "parquet"):
        (tmp_path / "other" / f"shard-00000.{ending}").rename(filled / f"shard-00003.{ending}")
    assert rebuilt_manifest(filled) is None
    for file in filled.glob("shard-*.parquet"):
        pq.write_table(pq.read_table(file).replace_schema_metadata(None), file)
    assert rebuilt_manifest(filled) is None
