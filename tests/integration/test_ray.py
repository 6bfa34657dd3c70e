"""A Ray cluster of this machine gives what one process gives, even if it loses workers."""

from __future__ import annotations

import gc
import os
import signal
import warnings
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest

import curate
from airrep import EmbeddingStore, Example, TextTemplate
from airrep.engines import started
from airrep.errors import ArgumentError, EmbeddingError
from selection.candidates import top_rows
from selection.certified import certified_greedy
from selection.scorers import EmbeddingScorer
from selection.selectors import GroupGreedy

ray = pytest.importorskip("ray", reason="needs Ray (the dev or ray extra)")
pytestmark = pytest.mark.slow  # a cluster takes its time to start

WORKERS = 4
ROWS = 20_000  # three blocks of scores
DIM = 16


@pytest.fixture(scope="module")
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # else they wait for everybody on a busy machine
        ray.init(
            "local", num_cpus=WORKERS, include_dashboard=False, log_to_driver=False,
            logging_level="error", object_store_memory=100 << 20,
        )  # fmt: skip
        yield
        with warnings.catch_warnings():  # Ray does not wait for the daemons that it has stopped
            warnings.simplefilter("ignore", ResourceWarning)
            ray.shutdown()
            gc.collect()


def hashing(deadly=None, broken=False):
    """An encoder that workers have at once, without torch; made here, so that it travels whole.

    Args:
        deadly: Directory for a mark. The first worker that is given row 777 is killed.
        broken: Row 777 has no embedding.
    """

    class Hashing:
        name = "hashing"
        template = TextTemplate()
        precision = "float32"
        fingerprint = "hashing"
        dim = DIM
        attention_scale = 2.0

        def encode(self, texts, /, *, tokens_per_batch=4096, progress=False):
            if any("row 777\n" in text for text in texts):
                if broken:
                    raise EmbeddingError("row 777 is broken")
                if deadly is not None and not (Path(deadly) / "mark").exists():
                    (Path(deadly) / "mark").write_text(str(os.getpid()))
                    os.kill(os.getpid(), signal.SIGKILL)
            digests = [blake2b(text.encode(), digest_size=2 * DIM).digest() for text in texts]
            values = np.array([np.frombuffer(digest, dtype=np.int16) for digest in digests])
            return (values / 2**16).astype(np.float32)

    return Hashing()


def rows(count, start=0):
    return [Example(str(i), f"row {i}", "x") for i in range(start, start + count)]


@pytest.mark.slow
@pytest.mark.isa
def test_select_is_the_local_one_with_two_workers(cluster, tmp_path):
    pool, targets = curate.demo_pool(70), curate.demo_targets("recipe_steps", 3)
    options = {"k": 20, "leakage": "off", "duplicates": "off"}
    alone = curate.select(pool, targets, **options)
    found = curate.select(pool, targets, engine="ray", output=tmp_path, **options)
    assert ray.is_initialized(), "a cluster that was there before stays"
    assert found.dataset.to_list() == alone.dataset.to_list()
    assert found.manifest.chosen == alone.manifest.chosen
    assert found.manifest.encoders == alone.manifest.encoders
    assert "engine" not in found.manifest.arguments
    assert len(list((tmp_path / "embeddings").glob("shard-*.npy"))) == 2


def test_four_workers_and_one_that_is_killed_change_nothing(cluster, tmp_path):
    pool, targets = rows(ROWS), rows(5, start=ROWS)
    alone = EmbeddingScorer(hashing(), EmbeddingStore(tmp_path / "alone")).score(targets, pool)
    with started("ray") as engine:
        assert engine.at_once == WORKERS
        encoder = hashing(deadly=tmp_path)
        store = EmbeddingStore(tmp_path / "shared")
        shared = EmbeddingScorer(encoder, store, engine=engine).score(targets, pool)
        assert (tmp_path / "mark").exists(), "a worker was killed"
        assert int((tmp_path / "mark").read_text()) != os.getpid()
        stored, expected = shared.embeddings[1], alone.embeddings[1]
        assert (stored.encoded, stored.reused) == (ROWS, 0)
        assert np.array_equal(stored[:], expected[:])
        assert len(store) == ROWS, "each row was written once"

        selector = GroupGreedy()
        found = certified_greedy(selector, shared, 40, memory=1 << 28)
        whole = selector.select(alone, 40)
        assert found.certificate.certified
        for name in ("indices", "gains", "scores", "targets", "layers"):
            assert np.array_equal(getattr(found, name), getattr(whole, name)), name
        assert found.ids == whole.ids
        for theirs, ours in zip(top_rows(shared, 30), top_rows(alone, 30), strict=True):
            assert np.array_equal(theirs, ours)


def test_a_worker_that_is_killed_while_it_looks_is_replaced(cluster, tmp_path):
    def look(places, threads):
        if 3 in places and not (tmp_path / "mark").exists():
            (tmp_path / "mark").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        assert threads == 1
        return list(places)

    with started("ray") as engine:
        parts = engine.parts(look, range(40))
    assert (tmp_path / "mark").exists()
    assert len(parts) == 4 * WORKERS
    assert sorted(place for part in parts for place in part) == list(range(40))


def test_what_a_store_has_stays_and_a_worker_s_error_is_ours(cluster, tmp_path):
    store, few = EmbeddingStore(tmp_path / "store"), rows(828)
    store.embed(few[:700], hashing())
    with started("ray") as engine:
        with pytest.raises(EmbeddingError, match=r"^row 777 is broken$"):
            store.embed(few, hashing(broken=True), engine=engine)  # two shards, of which one fails
        assert store.embed(few[:700], hashing(), engine=engine).encoded == 0
    again = EmbeddingStore(tmp_path / "store").embed(few, hashing())
    assert again.encoded in (64, 128), "whole shards count"
    expected = EmbeddingStore(tmp_path / "alone").embed(few, hashing())
    assert np.array_equal(again[:], expected[:])


def test_workers_that_compute_differently_are_refused(cluster, tmp_path):
    class Unlike(type(hashing())):
        def encode(self, texts, /, *, tokens_per_batch=4096, progress=False):
            return super().encode(texts) + np.float32(1e-3) * os.getpid()

    with started("ray") as engine, pytest.raises(ArgumentError, match="workers of one kind"):
        EmbeddingStore(tmp_path).embed(rows(64), Unlike(), engine=engine)
    assert EmbeddingStore(tmp_path).embed(rows(64), Unlike()).encoded == 64, "none was kept"
