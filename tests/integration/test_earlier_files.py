"""Files of an earlier layout of the code are read: what names modules, or was written by others.

`tests/earlier_files` was made by version 0.1.0 before its modules moved into folders: a checkpoint
of a tiny random encoder, the same exported, a store, and a selection that used them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import curate
from airrep import AirRep, EmbeddingStore, Example
from airrep.errors import StoreError
from airrep.records import normalize
from curate.verbs.explain import explain
from curate.verbs.report import report

EARLIER = Path(__file__).parents[1] / "earlier_files"


@pytest.fixture
def earlier(tmp_path):
    """A copy, because stores and selections are locked where they are read."""
    return Path(shutil.copytree(EARLIER, tmp_path / "earlier"))


@pytest.fixture
def pool():
    lines = (EARLIER / "pool.jsonl").read_text("utf-8").splitlines()
    return [normalize(json.loads(line), index=i, origin="pool") for i, line in enumerate(lines)]


def test_a_checkpoint_embeds_as_it_did(earlier, pool):
    encoder = AirRep.from_pretrained(earlier / "checkpoint", dtype="float32")
    np.testing.assert_allclose(encoder.encode(pool), np.load(EARLIER / "embeddings.npy"), atol=1e-5)


def test_an_export_that_names_our_modules_loads_in_sentence_transformers(earlier, pool):
    library = pytest.importorskip("sentence_transformers")
    encoder = AirRep.from_pretrained(earlier / "checkpoint", dtype="float32")
    texts = [encoder.template.render(example) for example in pool]
    model = library.SentenceTransformer(
        str(earlier / "exported"), device="cpu", trust_remote_code=True
    )
    found = model.encode(texts, convert_to_numpy=True)
    np.testing.assert_allclose(found, np.load(EARLIER / "embeddings.npy"), atol=1e-5)
    ours = AirRep.from_pretrained(earlier / "exported", dtype="float32").encode(pool)
    np.testing.assert_allclose(ours, np.load(EARLIER / "embeddings.npy"), atol=1e-5)


def test_a_store_holds_what_it_held(earlier, pool):
    encoder = AirRep.from_pretrained(earlier / "checkpoint", dtype="float32")
    found = EmbeddingStore(earlier / "store").embed(pool, encoder)
    assert (found.reused, found.encoded) == (len(pool), 0)
    np.testing.assert_array_equal(found[:], np.load(EARLIER / "embeddings.npy"))


def test_a_store_of_other_rounding_is_not_continued(earlier, pool):
    encoder = AirRep.from_pretrained(earlier / "checkpoint", dtype="float32")
    more = [*pool, Example("new", "A new row?", "Yes.")]
    with pytest.raises(StoreError, match="made by another model"):
        EmbeddingStore(earlier / "store").embed(more, encoder)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_manifest_chooses_the_same_rows(earlier, monkeypatch, dtype):
    """On a machine that computes in either."""
    monkeypatch.setattr("airrep.machine.hardware.fastest_dtype", lambda device: dtype)
    manifest = json.loads((earlier / "selected" / "manifest.json").read_text("utf-8"))
    moved = {
        name: value.replace("/data/", f"{earlier}/") if isinstance(value, str) else value
        for name, value in manifest["arguments"].items()
    }
    del moved["store"]
    chosen = curate.select(**moved)
    assert chosen.manifest.chosen["fingerprint"] == manifest["chosen"]["fingerprint"]


def test_a_saved_selection_is_whole_and_explained(earlier):
    found = curate.verify(earlier / "selected")
    assert found.fine, found
    assert len(curate.TrainingSet.load(earlier / "selected").to_trl()) == 5
    page = report(earlier / "selected")
    assert "dialogue" in Path(page).read_text("utf-8")
    assert "1st of 5 rows" in str(explain(earlier / "selected", "10"))
