"""Embeddings on disk: found again, resumed, and refused where they cannot be trusted."""

from __future__ import annotations

import json
import resource
import shutil
import signal
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from airrep import AirRep, EmbeddingStore, Example, TextTemplate
from airrep import store as store_module
from airrep.errors import ArgumentError, EmbeddingError, OutputError, StoreError
from airrep.store import FingerprintedEncoder

DIM = 6


@dataclass
class CountingEncoder:
    """Embeds a text by its digest, and remembers what it was asked for."""

    name: str = "counting"
    template: TextTemplate = field(default_factory=TextTemplate)
    precision: str = "float32"
    fingerprint: str = "one"
    dim: int = DIM
    fail_at_call: int | None = None
    scale: float = 1.0
    encoded: list[str] = field(default_factory=list)
    calls: int = 0

    def encode(self, inputs, /, *, tokens_per_batch=4096):
        if self.calls == self.fail_at_call:
            raise KeyboardInterrupt
        self.calls += 1
        self.encoded += inputs
        digests = [blake2b(text.encode(), digest_size=4 * self.dim).digest() for text in inputs]
        integers = np.array([np.frombuffer(d, dtype=np.int32) for d in digests])
        return (self.scale * integers / 2**31).astype(np.float32).reshape(len(inputs), self.dim)


def examples(*numbers, prompt="what is"):
    return [Example(f"id-{n}", f"{prompt} {n}?", f"it is {n}") for n in numbers]


def embedded_afresh(items, encoder=None):
    encoder = encoder or CountingEncoder()
    return encoder.encode([encoder.template.render(e) for e in items])


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(store_module, "_SHARD_ROWS", 4)


@pytest.fixture
def filled(tmp_path, small_shards):
    """A store of ten rows in three shards."""
    EmbeddingStore(tmp_path / "store").embed(examples(*range(10)), CountingEncoder())
    return tmp_path / "store"


def edit_manifest(directory, **changes):
    file = directory / "manifest.json"
    manifest = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({k: v for k, v in manifest.items() if v is not ...}))


# --- what comes back --------------------------------------------------------------------------


def test_the_encoder_of_this_project_fits_the_protocol(tiny):
    assert isinstance(tiny, FingerprintedEncoder)
    assert isinstance(CountingEncoder(), FingerprintedEncoder)


@pytest.mark.isa
@pytest.mark.parametrize("rows", [1, 4, 2048])
def test_stored_embeddings_are_the_encoders_bit_for_bit(tmp_path, tiny, monkeypatch, rows):
    monkeypatch.setattr(store_module, "_SHARD_ROWS", rows)
    items = examples(*range(9))
    stored = EmbeddingStore(tmp_path / "store").embed(items, tiny)
    expected = tiny.encode(items)
    assert stored.shape == expected.shape
    assert len(stored) == 9
    assert stored[:].dtype == np.float32
    assert np.array_equal(stored[:], expected)


@pytest.mark.parametrize("rows", [slice(0, 3), slice(2, 9), slice(5, None), slice(4, 4)])
def test_slices_cross_shards(filled, rows):
    items = examples(*range(10))
    stored = EmbeddingStore(filled).embed(items, CountingEncoder())
    assert np.array_equal(stored[rows], embedded_afresh(items)[rows])


def test_the_order_is_the_examples_and_not_the_stores(filled):
    items = examples(7, 0, 9, 3, 0)
    stored = EmbeddingStore(filled).embed(items, CountingEncoder())
    assert np.array_equal(stored[:], embedded_afresh(items))


def test_no_examples_give_no_rows_in_the_right_shape(tmp_path):
    stored = EmbeddingStore(tmp_path / "store").embed([], CountingEncoder())
    assert stored.shape == (0, DIM)
    assert stored[:].shape == (0, DIM)


def test_a_store_opened_again_encodes_nothing(filled):
    encoder = CountingEncoder()
    store = EmbeddingStore(filled)
    assert len(store) == 10
    stored = store.embed(examples(*range(10)), encoder)
    assert encoder.encoded == []
    assert (stored.reused, stored.encoded, stored.changed) == (10, 0, 0)


def test_embeddings_stay_readable_while_the_store_grows(tmp_path, small_shards):
    store = EmbeddingStore(tmp_path / "store")
    first = store.embed(examples(*range(5)), CountingEncoder())
    store.embed(examples(*range(20)), CountingEncoder())
    assert np.array_equal(first[:], embedded_afresh(examples(*range(5))))


# --- what is encoded --------------------------------------------------------------------------


def test_a_growing_pool_encodes_only_its_new_rows(filled):
    encoder = CountingEncoder()
    items = examples(*range(13))
    stored = EmbeddingStore(filled).embed(items, encoder)
    assert encoder.encoded == [encoder.template.render(e) for e in items[10:]]
    assert (stored.reused, stored.encoded, stored.changed) == (10, 3, 0)
    assert np.array_equal(stored[:], embedded_afresh(items))


def test_a_row_whose_text_changed_is_noticed_and_encoded_again(filled):
    encoder = CountingEncoder()
    items = examples(*range(10))
    items[4] = Example("id-4", "what is 4?", "it is four")
    stored = EmbeddingStore(filled).embed(items, encoder)
    assert encoder.encoded == [encoder.template.render(items[4])]
    assert (stored.reused, stored.encoded, stored.changed) == (9, 1, 1)
    assert np.array_equal(stored[:], embedded_afresh(items))


def test_a_row_changed_back_is_found_again(filled):
    items = examples(*range(10))
    changed = [Example("id-0", "", "other"), *items[1:]]
    EmbeddingStore(filled).embed(changed, CountingEncoder())
    encoder = CountingEncoder()
    stored = EmbeddingStore(filled).embed(items, encoder)
    assert encoder.encoded == []
    assert np.array_equal(stored[:], embedded_afresh(items))


def test_rows_are_known_by_text_and_not_by_id_or_place(filled):
    encoder = CountingEncoder()
    renamed = [Example(f"new-{e.id}", e.prompt, e.completion) for e in examples(*range(10))]
    stored = EmbeddingStore(filled).embed(renamed[::-1], encoder)
    assert encoder.encoded == []
    assert np.array_equal(stored[:], embedded_afresh(renamed[::-1]))


def test_a_store_may_have_more_shards_than_a_process_may_have_open_files(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "_SHARD_ROWS", 1)
    items, (soft, hard) = examples(*range(60)), resource.getrlimit(resource.RLIMIT_NOFILE)
    stored = EmbeddingStore(tmp_path / "store").embed(items, CountingEncoder())
    used = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, hard))
    try:
        again = EmbeddingStore(tmp_path / "store").embed(items, CountingEncoder())
        assert np.array_equal(again[:], embedded_afresh(items))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert np.array_equal(stored[:], again[:])


def test_a_repeated_text_is_encoded_once(tmp_path, small_shards):
    encoder = CountingEncoder()
    items = examples(*[0, 1, 0, 2, 1, 0] * 3)
    stored = EmbeddingStore(tmp_path / "store").embed(items, encoder)
    assert len(encoder.encoded) == len(set(encoder.encoded)) == stored.encoded == 3
    assert np.array_equal(stored[:], embedded_afresh(items))


# --- interruptions ----------------------------------------------------------------------------


@pytest.mark.isa
@pytest.mark.parametrize("shards_done", [0, 1, 2])
def test_an_interrupted_run_resumes_after_its_last_whole_shard(tmp_path, small_shards, shards_done):
    items = examples(*range(11))
    with pytest.raises(KeyboardInterrupt):
        EmbeddingStore(tmp_path / "store").embed(items, CountingEncoder(fail_at_call=shards_done))
    encoder = CountingEncoder()
    stored = EmbeddingStore(tmp_path / "store").embed(items, encoder)
    assert encoder.encoded == [encoder.template.render(e) for e in items[4 * shards_done :]]
    assert np.array_equal(stored[:], embedded_afresh(items))


def test_shards_that_workers_of_a_killed_run_left_behind_are_removed(filled):
    """They have names of their own, so that nothing is written over them."""
    for name in ("shard-00003-0a1b2c3d.npy", "shard-00003-0a1b2c3d.parquet"):
        (filled / name).write_bytes(b"left behind")
    EmbeddingStore(filled).embed(examples(*range(10)), CountingEncoder())  # adds nothing
    assert (filled / "shard-00003-0a1b2c3d.npy").exists()
    EmbeddingStore(filled).embed(examples(*range(12)), CountingEncoder())
    assert [f.name for f in filled.glob("shard-*-*")] == []
    again = EmbeddingStore(filled).embed(examples(*range(12)), CountingEncoder())
    assert again.encoded == 0


def test_the_same_store_object_can_go_on_after_an_interruption(tmp_path, small_shards):
    store, items = EmbeddingStore(tmp_path / "store"), examples(*range(11))
    with pytest.raises(KeyboardInterrupt):
        store.embed(items, CountingEncoder(fail_at_call=2))
    stored = store.embed(items, CountingEncoder())
    assert np.array_equal(stored[:], embedded_afresh(items))


# Encodes 12 rows in shards of 4, and is killed as hard as can be on the way to the third.
KILLED_RUN = """
    import os, signal, sys
    import numpy as np
    from airrep import AirRep, EmbeddingStore, Example, store as store_module

    checkpoint, directory, moment = sys.argv[1:]
    store_module._SHARD_ROWS = 4
    encoder = AirRep.from_pretrained(checkpoint, dtype="float32")
    encode, save = encoder.encode, np.save
    calls = {"encode": 0, "save": 0}

    def encode_or_die(*args, **options):
        calls["encode"] += 1
        if moment == "encoding" and calls["encode"] == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return encode(*args, **options)

    def save_or_die(stream, values, **options):
        calls["save"] += 1
        if moment == "writing" and calls["save"] == 3:
            stream.write(b"half a shard")
            stream.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        save(stream, values, **options)

    encoder.encode, np.save = encode_or_die, save_or_die
    items = [Example(f"id-{n}", f"what is {n}?", f"it is {n}") for n in range(12)]
    EmbeddingStore(directory).embed(items, encoder)
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["encoding", "writing"])
def test_a_killed_process_loses_the_shard_it_was_working_on_and_nothing_else(
    program, tmp_path, tiny, tiny_directory, monkeypatch, moment
):
    directory = tmp_path / "store"
    killed = program(KILLED_RUN, tiny_directory, directory, moment, OMP_NUM_THREADS="1")
    assert killed.wait() == -signal.SIGKILL, killed.stderr
    encoder = AirRep.from_pretrained(tiny_directory, dtype="float32")
    asked = []
    encode = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda t, **o: asked.extend(t) or encode(t, **o))
    items = examples(*range(12))
    stored = EmbeddingStore(directory).embed(items, encoder)
    assert asked == [encoder.template.render(e) for e in items[8:]]
    assert (stored.reused, stored.encoded) == (8, 4)
    assert np.array_equal(stored[:], tiny.encode(items))


# --- another model's store --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (CountingEncoder(fingerprint="two"), "encoder is one, this encoder's is two"),
        (CountingEncoder(template=TextTemplate(max_tokens=9)), "template is"),
        (CountingEncoder(dim=DIM + 1), "dim is 6, this encoder's is 7"),
    ],
    ids=["weights", "template", "dim"],
)
def test_the_store_of_another_encoder_is_refused_and_untouched(filled, other, named):
    before = {f.name: f.read_bytes() for f in filled.iterdir()}
    with pytest.raises(StoreError, match=named) as caught:
        EmbeddingStore(filled).embed(examples(*range(20)), other)
    assert str(filled) in str(caught.value)
    assert other.encoded == []
    assert {f.name: f.read_bytes() for f in filled.iterdir()} == before


def test_the_same_model_in_another_precision_is_another_encoder(tmp_path, tiny_directory):
    exact = AirRep.from_pretrained(tiny_directory, dtype="float32")
    rounded = AirRep.from_pretrained(tiny_directory, dtype="bfloat16")
    EmbeddingStore(tmp_path / "store").embed(examples(1), exact)
    with pytest.raises(StoreError, match="compute dtype"):
        EmbeddingStore(tmp_path / "store").embed(examples(1), rounded)


# --- damage -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["shard-00001.npy", "shard-00001.parquet"])
@pytest.mark.parametrize("kept", [0, 40, -1], ids=["emptied", "beginning", "without last byte"])
def test_a_truncated_shard_is_an_error_that_names_it(filled, name, kept):
    (filled / name).write_bytes((filled / name).read_bytes()[:kept])
    with pytest.raises(StoreError, match=r"shard-00001.*curate verify .*--repair"):
        EmbeddingStore(filled)


@pytest.mark.parametrize("name", ["shard-00002.npy", "shard-00002.parquet"])
def test_a_missing_shard_is_an_error_that_names_it(filled, name):
    (filled / name).unlink()
    with pytest.raises(StoreError, match=r"shard-00002.*missing or damaged"):
        EmbeddingStore(filled)


def test_a_shard_of_pickled_objects_is_never_read(filled):
    np.save(filled / "shard-00000.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(StoreError, match="missing or damaged"):
        EmbeddingStore(filled)


@pytest.mark.parametrize(
    "values",
    [np.zeros((3, DIM), np.float32), np.zeros((4, 5), np.float32), np.zeros((4, DIM), np.float64)],
    ids=["rows", "width", "dtype"],
)
def test_a_shard_of_another_shape_is_an_error_that_says_both(filled, values):
    np.save(filled / "shard-00001.npy", values)
    with pytest.raises(StoreError, match=r"expected \(4, 6\) float32, found"):
        EmbeddingStore(filled)


def test_a_shard_with_too_few_ids_is_an_error(filled):
    file = filled / "shard-00001.parquet"
    pq.write_table(pq.read_table(file).slice(0, 3), file)
    with pytest.raises(StoreError, match="with 3 ids"):
        EmbeddingStore(filled)


def test_a_table_without_digests_is_an_error(filled):
    pq.write_table(pa.table({"id": list("abcd")}), filled / "shard-00001.parquet")
    with pytest.raises(StoreError, match="missing or damaged"):
        EmbeddingStore(filled)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"format": 1}', "\x00"])
def test_a_manifest_that_cannot_be_read_is_an_error_that_names_it(filled, content):
    (filled / "manifest.json").write_text(content)
    with pytest.raises(StoreError, match=r"manifest.json: damaged .*; `curate verify"):
        EmbeddingStore(filled)


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "int8"},
        {"shards": 3},
        {"shards": [{"name": "shard-00000"}]},
        *({key: ...} for key in ("format", "dtype", "shards", "encoder", "template", "dim")),
    ],
    ids=str,
)
def test_a_manifest_with_a_wrong_or_missing_value_is_an_error(filled, changes):
    edit_manifest(filled, **changes)
    with pytest.raises(StoreError, match=r"manifest.json: damaged"):
        EmbeddingStore(filled)


@pytest.mark.parametrize("others", [{}, {"shards": ..., "dtype": ..., "parts": []}])
def test_a_store_of_a_later_version_says_so(filled, others):
    """Whatever else that version changed."""
    edit_manifest(filled, format=2, **others)
    with pytest.raises(
        StoreError, match=r"format 2 is of a later version .* reads formats up to 1"
    ):
        EmbeddingStore(filled)


def test_a_directory_of_something_else_is_refused_and_untouched(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(StoreError, match="choose another directory"):
        EmbeddingStore(tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_store(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match="choose another directory"):
        EmbeddingStore(tmp_path / "file")


def test_an_empty_directory_becomes_a_store(tmp_path):
    assert EmbeddingStore(tmp_path).embed(examples(1), CountingEncoder()).encoded == 1


def test_opening_a_store_writes_nothing(tmp_path):
    EmbeddingStore(tmp_path / "store")
    assert not (tmp_path / "store").exists()


# --- places that cannot be written ------------------------------------------------------------


def test_a_place_that_cannot_be_written_shows_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    encoder = CountingEncoder()
    with pytest.raises(OutputError, match=f"cannot write {tmp_path}/file/store"):
        EmbeddingStore(tmp_path / "file" / "store").embed(examples(1), encoder)
    assert encoder.calls == 0


def test_a_full_disk_keeps_the_shards_before_it(tmp_path, small_shards, monkeypatch):
    items, save, saved = examples(*range(12)), np.save, []

    def full_at_the_third(stream, values, **options):
        saved.append(len(values))
        if len(saved) == 3:
            raise OSError(28, "No space left on device")
        save(stream, values, **options)

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full_at_the_third)
        with pytest.raises(OutputError, match=r"cannot write .*shard-00002.npy .No space left"):
            EmbeddingStore(tmp_path / "store").embed(items, CountingEncoder())
    encoder = CountingEncoder()
    stored = EmbeddingStore(tmp_path / "store").embed(items, encoder)
    assert len(encoder.encoded) == 4
    assert np.array_equal(stored[:], embedded_afresh(items))


# --- half precision ---------------------------------------------------------------------------


def test_half_precision_halves_the_space_and_rounds(tmp_path):
    items = examples(*range(1000))
    sizes = {}
    for dtype in ("float32", "float16"):
        stored = EmbeddingStore(tmp_path / dtype, dtype=dtype).embed(items, CountingEncoder())
        sizes[dtype] = sum(f.stat().st_size for f in (tmp_path / dtype).glob("*.npy"))
    exact = embedded_afresh(items)
    assert stored[:].dtype == np.float32
    assert np.array_equal(stored[:], exact.astype(np.float16).astype(np.float32))
    assert sizes["float16"] == pytest.approx(sizes["float32"] / 2, rel=0.01)


def test_the_precision_of_a_store_is_settled_when_it_is_created(tmp_path):
    EmbeddingStore(tmp_path / "store", dtype="float16").embed(examples(1), CountingEncoder())
    again = EmbeddingStore(tmp_path / "store", dtype="float32")
    stored = again.embed(examples(1, 2), CountingEncoder())
    expected = embedded_afresh(examples(1, 2)).astype(np.float16).astype(np.float32)
    assert np.array_equal(stored[:], expected)


def test_an_embedding_too_large_for_half_precision_is_an_error_that_says_what_to_do(tmp_path):
    store = EmbeddingStore(tmp_path / "store", dtype="float16")
    with pytest.raises(EmbeddingError, match=r'exceeds the range of float16.*dtype="float32"'):
        store.embed(examples(1), CountingEncoder(scale=1e6))


def test_an_unknown_precision_lists_the_known_ones(tmp_path):
    with pytest.raises(ArgumentError, match="'int8' is unknown; choose from float32, float16"):
        EmbeddingStore(tmp_path, dtype="int8")


def test_a_store_can_be_moved(filled, tmp_path):
    shutil.move(filled, tmp_path / "elsewhere")
    encoder = CountingEncoder()
    stored = EmbeddingStore(tmp_path / "elsewhere").embed(examples(*range(10)), encoder)
    assert encoder.encoded == []
    assert np.array_equal(stored[:], embedded_afresh(examples(*range(10))))


def test_progress_counts_what_is_there_already(filled, capfd, monkeypatch):
    monkeypatch.setattr("airrep.console.progress._FIRST", 0.0)
    EmbeddingStore(filled).embed(examples(*range(12)), CountingEncoder(), progress=True)
    assert "embed: 12 of 12 rows (100%)" in capfd.readouterr().err


def test_paths_may_be_strings(tmp_path):
    assert EmbeddingStore(str(tmp_path / "store")).directory == Path(tmp_path / "store")


def test_only_one_run_at_a_time_adds_rows(tmp_path):
    folder = tmp_path / "store"
    EmbeddingStore(folder).embed(examples(*range(3)), CountingEncoder())
    with FileLock(folder / ".lock"):
        with pytest.raises(StoreError, match="another run is adding to this store"):
            EmbeddingStore(folder).embed(examples(*range(5)), CountingEncoder())
        read = EmbeddingStore(folder).embed(examples(*range(3)), CountingEncoder())
        assert read.encoded == 0, "reading needs no lock"
    assert EmbeddingStore(folder).embed(examples(*range(5)), CountingEncoder()).encoded == 2


def test_rows_that_another_run_added_meanwhile_are_not_encoded_again(tmp_path):
    first, second = EmbeddingStore(tmp_path / "store"), EmbeddingStore(tmp_path / "store")
    expected = first.embed(examples(*range(6)), CountingEncoder())[:]
    late = second.embed(examples(*range(8)), CountingEncoder())
    assert late.encoded == 2
    np.testing.assert_array_equal(late[:6], expected)
