"""Results of a GPU, compared with those of the CPU; the long tail runs the same tests without one.

On a CPU they show that they are not broken, since both sides are the CPU then.
"""

import numpy as np
import pytest
import torch

import curate
from airrep import AirRep, EmbeddingStore
from airrep.gradients.features import gradient_features
from airrep.gradients.memory import scoring_memory
from airrep.language_model.hidden_states import hidden_state_features
from airrep.language_model.losses import completion_losses
from airrep.language_model.model import LanguageModel
from airrep.records import Example
from eval_harness.runners.base import TrainingRun
from eval_harness.runners.direct import DirectRunner
from eval_harness.runners.memory import training_memory
from eval_harness.runners.recipe import Recipe

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
ROWS = [Example(str(i), r["prompt"], r["completion"]) for i, r in enumerate(curate.demo_pool(40))]
FEATURES = [hidden_state_features, gradient_features]


@pytest.fixture(
    params=[
        pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU]),
        pytest.param("cpu", marks=pytest.mark.slow),
    ]
)
def device(request, monkeypatch):
    """Where the tests compute, which is what commands choose by themselves then."""
    if request.param == "cpu":
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    else:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return request.param


def cosines(left, right):
    """Of the rows of two matrices."""
    products = (left * right).sum(axis=1)
    return products / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)


def held_bytes(device, network):
    """The most that was allocated on a GPU; on a CPU, where nobody counts, the weights."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return sum(parameter.nbytes for parameter in network.parameters())


@pytest.mark.parametrize(("dtype", "least"), [("float32", 0.9999), ("bfloat16", 0.999)])
def test_embeddings_are_those_of_the_cpu(device, dtype, least):
    expected = AirRep.default(device="cpu", dtype="float32").encode(ROWS)
    encoder = AirRep.default(device=device, dtype=dtype)
    assert encoder.model.device.type == device
    assert cosines(encoder.encode(ROWS), expected).min() > least


def test_neighbors_move_no_embedding_and_one_budget_repeats_its_bits(device):
    encoder = AirRep.default(device=device, dtype="float32")
    whole = encoder.encode(ROWS)
    np.testing.assert_array_equal(encoder.encode(ROWS), whole)
    turned = encoder.encode(ROWS[::-1])[::-1]
    alone = np.concatenate([encoder.encode(ROWS[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(turned, whole, atol=1e-5)
    np.testing.assert_allclose(alone, whole[:5], atol=1e-5)


@pytest.mark.parametrize(("dtype", "apart"), [("float32", 0.0), ("float16", 1e-3)])
def test_a_store_keeps_what_was_encoded(device, tmp_path, dtype, apart):
    encoder = AirRep.default(device=device)
    expected = encoder.encode(ROWS)
    for reused in (0, len(ROWS)):
        found = EmbeddingStore(tmp_path / "store", dtype=dtype).embed(ROWS, encoder)
        assert found.reused == reused
        np.testing.assert_allclose(found[:], expected, atol=apart)


@pytest.mark.parametrize("compute", FEATURES)
def test_features_of_a_model_are_those_of_the_cpu(device, tiny_lm, compute):
    there, here = (LanguageModel.from_pretrained(tiny_lm, device=d) for d in (device, "cpu"))
    found, expected = (compute(model, ROWS, dtype="float32") for model in (there, here))
    assert cosines(found, expected).min() > 0.9999
    narrow = compute(there, ROWS, dtype="bfloat16")
    assert cosines(narrow, expected).min() > 0.99


@pytest.mark.parametrize(("dtype", "apart"), [("bfloat16", 5e-3), ("int8", 5e-3), ("int4", 0.05)])
def test_narrow_weights_score_as_whole_ones(device, tiny_lm, dtype, apart):
    whole = LanguageModel.from_pretrained(tiny_lm, device="cpu")
    narrow = LanguageModel.from_pretrained(tiny_lm, device=device, dtype=dtype)
    found, expected = (completion_losses(model, ROWS) for model in (narrow, whole))
    np.testing.assert_allclose(found, expected, rtol=apart)
    for compute in FEATURES:
        assert cosines(compute(narrow, ROWS), compute(whole, ROWS)).mean() > 0.9
    needed = scoring_memory(tiny_lm, "gradient", dtype=dtype, tokens_per_batch=4096)
    assert held_bytes(device, narrow.network) < needed.total


def test_a_network_on_a_device_map_scores_as_one_without(device, tiny_lm):
    whole = LanguageModel.from_pretrained(tiny_lm, device=device)
    spread = LanguageModel.from_pretrained(tiny_lm, device_map={"": device})
    for compute in (*FEATURES, completion_losses):
        np.testing.assert_allclose(compute(spread, ROWS), compute(whole, ROWS), atol=1e-5)


@pytest.mark.parametrize("trainable", ["all", "lora:4"])
def test_runs_end_in_the_losses_of_the_cpu(device, tiny_lm, trainable):
    recipe = Recipe(learning_rate=1e-3, batch_size=4, trainable=trainable, precision="float32")
    losses = []
    for place in (device, "cpu"):
        runner = DirectRunner(LanguageModel.from_pretrained(tiny_lm, device=place), recipe)
        losses.append(runner.train([TrainingRun(ROWS[:20], 0)]).losses(ROWS[20:]))
        if place == device:
            held = held_bytes(device, runner.model.network)
    np.testing.assert_allclose(*losses, atol=1e-3)
    needed = training_memory(tiny_lm, trainable, longest=256, narrow=False)
    assert held < needed.total - needed.libraries


def test_commands_compute_there_from_end_to_end(device, tiny_lm, tmp_path):
    pool, targets = curate.demo_pool(30), curate.demo_targets("email_reply", 3)
    for scorer in ("airrep", "rds", "gradient", "gradient_adam"):
        model = None if scorer == "airrep" else tiny_lm
        chosen = curate.select(pool, targets, 5, scorer=scorer, model=model)
        assert len(chosen) == 5
    fitted = curate.fit(pool, tiny_lm, tmp_path / "fitted", dim=4, max_tokens=64)
    assert AirRep.from_pretrained(fitted.directory).model.device.type == device
    assert len(curate.select(pool, targets, 5, encoder=fitted.directory)) == 5
    runs = tmp_path / "runs"
    recorded = curate.record(pool, targets, tiny_lm, runs, subsets=3, size=4, runner="direct")
    assert np.isfinite(recorded.values).all()
    assert abs(curate.lds(runs, pool, targets, scorer="rds", draws=0).mean) <= 1
