"""Every long pass, interrupted and begun again: it computes the rest, and makes the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from airrep import EmbeddingStore, Example
from airrep.disk import parts
from airrep.disk.parts import discard, kept_in
from airrep.gradients import moments
from airrep.gradients.features import gradient_features
from airrep.gradients.moments import second_moments
from airrep.language_model import batching
from airrep.language_model.hidden_states import hidden_state_features
from airrep.language_model.losses import completion_losses
from curate.demo_data import demo_pool

SMALL = 128  # tokens in a batch: many batches


@pytest.fixture(scope="module")
def examples():
    made = demo_pool(48)
    return [
        Example(str(i), r["prompt"][: 20 + 8 * (i % 12)], r["completion"][:40])
        for i, r in enumerate(made)
    ]


@pytest.fixture(scope="module")
def model(make_lm):
    return make_lm(dtype=torch.float32)


@pytest.fixture(autouse=True)
def short_passes(monkeypatch):
    """Sentence encoders' passes have no budget; of few tokens, there are many."""
    monkeypatch.setattr(batching, "TIGHT_TOKENS", SMALL)


@pytest.fixture
def batches(monkeypatch):
    """What is computed while the test runs: rows of each batch. A batch takes 20 seconds."""
    seen, until, now = [], [-1], [0.0]
    put = parts.KeptRows.put

    def counted(self, members, values):
        now[0] += 20.0
        if len(seen) == until[0]:
            raise KeyboardInterrupt
        seen.append(len(members))
        put(self, members, values)

    monkeypatch.setattr(parts, "clock", lambda: now[0])
    monkeypatch.setattr(parts.KeptRows, "put", counted)

    def stop_after(count):
        until[0] = count

    return seen, stop_after


def embeddings(encoder, model, examples):
    return encoder.encode([encoder.template.render(e) for e in examples], tokens_per_batch=SMALL)


def features(encoder, model, examples):
    texts = [encoder.template.render(e) for e in examples]
    return encoder.features(texts, tokens_per_batch=SMALL)


def hidden_states(encoder, model, examples):
    return hidden_state_features(model, examples, tokens_per_batch=SMALL)


def gradients(encoder, model, examples):
    return gradient_features(model, examples, rank=2, tokens_per_batch=SMALL)


def losses(encoder, model, examples):
    return completion_losses(model, examples, tokens_per_batch=SMALL)


PASSES = [embeddings, features, hidden_states, gradients, losses]


@pytest.mark.parametrize("compute", PASSES)
def test_an_interrupted_pass_goes_on_and_is_the_same(
    compute, tiny, model, examples, tmp_path, batches
):
    seen, stop_after = batches
    whole = compute(tiny, model, examples)
    assert seen == [], "nothing is kept where nobody asked for it"
    stop_after(3)
    with kept_in(tmp_path, "x"):
        with pytest.raises(KeyboardInterrupt):
            compute(tiny, model, examples)
        first = sum(seen)
        stop_after(-1)
        resumed = compute(tiny, model, examples)
    assert 0 < first < sum(seen) == len(examples), "no row is computed twice"
    assert resumed.tobytes() == whole.tobytes()
    with kept_in(tmp_path, "x"):
        assert compute(tiny, model, examples).tobytes() == whole.tobytes()
    assert sum(seen) == len(examples), "the result is not written yet: nothing is lost"
    discard(tmp_path, "x")
    assert list(tmp_path.iterdir()) == []


def test_other_settings_take_nothing(model, examples, tmp_path, batches):
    seen, _ = batches
    exact = {"dtype": "float32", "tokens_per_batch": SMALL}
    with kept_in(tmp_path, "x"):
        gradient_features(model, examples, rank=2, **exact)
        gradient_features(model, examples, rank=3, **exact)
        gradient_features(model, examples, rank=2, seed=1, **exact)
        gradient_features(model, examples, rank=2, layers=1, **exact)
        gradient_features(model, examples, rank=2, **{**exact, "dtype": "bfloat16"})
        hidden_state_features(model, examples, tokens="all", **exact)
        hidden_state_features(model, examples, tokens="completion", **exact)
        completion_losses(model, examples, reduction="mean", **exact)
        completion_losses(model, examples, reduction="sum", **exact)
    assert sum(seen) == 9 * len(examples)


def test_a_shard_in_the_making_is_kept_in_the_store(tiny, examples, tmp_path, batches):
    seen, stop_after = batches
    whole = EmbeddingStore(tmp_path / "whole").embed(examples, tiny, tokens_per_batch=SMALL)
    assert sum(seen) == len(examples)
    seen.clear()
    stop_after(3)
    with pytest.raises(KeyboardInterrupt):
        EmbeddingStore(tmp_path / "cut").embed(examples, tiny, tokens_per_batch=SMALL)
    first = sum(seen)
    stop_after(-1)
    more = [*examples, Example("new", "another row", "of the pool")]
    found = EmbeddingStore(tmp_path / "cut").embed(more, tiny, tokens_per_batch=SMALL)
    assert first > 0
    assert sum(seen) < 2 * len(examples), "rows of the shard are found though the pool has changed"
    assert found[: len(examples)].tobytes() == whole[:].tobytes()
    names = {file.name for file in (tmp_path / "cut").iterdir()}
    assert names == {"manifest.json", ".lock", "shard-00000.npy", "shard-00000.parquet"}


def test_a_stores_bar_moves_with_every_batch(tiny, examples, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("airrep.console.progress._FIRST", 0.0)
    monkeypatch.setattr("airrep.console.progress._EVERY", 0.0)
    EmbeddingStore(tmp_path).embed(examples, tiny, tokens_per_batch=SMALL, progress=True)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) > 4, "there is one shard"
    assert all(line.startswith("embed: ") for line in lines)
    assert f"{len(examples)} of {len(examples)} rows (100%)" in lines[-1]


def test_what_other_pools_left_in_a_store_stays(tiny, examples, tmp_path, batches):
    seen, stop_after = batches
    other = [Example("other", "a row that", "is alone")]
    stop_after(3)
    with pytest.raises(KeyboardInterrupt):
        EmbeddingStore(tmp_path).embed(examples, tiny, tokens_per_batch=SMALL)
    first = sum(seen)
    stop_after(-1)
    EmbeddingStore(tmp_path).embed(other, tiny, tokens_per_batch=SMALL)
    EmbeddingStore(tmp_path).embed(examples, tiny, tokens_per_batch=SMALL)
    assert sum(seen) == len(examples) + len(other)
    assert first > 0
    assert not list(tmp_path.glob(".*.part"))


def test_moments_go_on_from_the_last_sum(model, examples, tmp_path, monkeypatch):
    now, drawn = [0.0], []
    gradients = moments.batch_gradients

    def counted(*arguments):
        now[0] += 8.0
        if len(drawn) == 5:
            raise KeyboardInterrupt
        drawn.append(1)
        return gradients(*arguments)

    options = {"draws": 8, "batch_size": 4, "tokens_per_batch": SMALL}
    whole = second_moments(model, examples, **options)
    monkeypatch.setattr(parts, "clock", lambda: now[0])
    with monkeypatch.context() as patch:
        patch.setattr(moments, "batch_gradients", counted)
        with kept_in(tmp_path, "x"), pytest.raises(KeyboardInterrupt):
            second_moments(model, examples, **options)
    drawn.clear()
    monkeypatch.setattr(moments, "batch_gradients", lambda *a: drawn.append(1) or gradients(*a))
    with kept_in(tmp_path, "x"):
        resumed = second_moments(model, examples, **options)
        assert len(drawn) == 4, "every second sum was written: four of the five were not lost"
        second_moments(model, examples, **{**options, "seed": 1})
        assert len(drawn) == 12
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    (file,) = tmp_path.glob(".*.part")
    file.write_bytes(file.read_bytes()[:-1])
    drawn.clear()
    with kept_in(tmp_path, "x"):
        again = second_moments(model, examples, **options)
    assert len(drawn) == 8, "a damaged one is not used"
    assert all(np.array_equal(again[name].numpy(), whole[name].numpy()) for name in whole)
