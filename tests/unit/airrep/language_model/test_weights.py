"""Weights that are held in fewer bits while a model scores."""

import numpy as np
import pytest
import torch
from torch import nn

import curate
from airrep.errors import ArgumentError
from airrep.gradients.features import gradient_features
from airrep.language_model.hidden_states import hidden_state_features
from airrep.language_model.losses import completion_losses
from airrep.language_model.model import LanguageModel
from airrep.language_model.passes import is_large
from airrep.language_model.weights import QuantizedLinear, held_in, hold_in
from airrep.records import Example
from eval_harness.runners.choice import choose_runner
from eval_harness.runners.recipe import Recipe
from selection.scorers import AdamGradientScorer, GradientScorer, NudgeScorer

EXAMPLES = [Example(str(i), "What comes next? " * (i % 4), "a word " * (1 + i)) for i in range(12)]
NARROW = ["bfloat16", "int8", "int4"]


@pytest.mark.parametrize(("bits", "error"), [(8, 0.004), (4, 0.08)])
def test_a_quantized_layer_is_close_and_small_and_has_gradients(bits, error):
    torch.manual_seed(0)
    layer = nn.Linear(96, 64)
    held = QuantizedLinear(layer, bits)
    apart = (held.whole(torch.float32) - layer.weight).norm() / layer.weight.norm()
    assert error / 4 < apart < error
    stored = sum(each.nbytes for each in held.buffers())
    assert stored == layer.weight.numel() * (bits + 1) / 8
    x = torch.randn(2, 5, 96, requires_grad=True)
    expected = nn.functional.linear(x, held.whole(torch.float32), layer.bias)
    torch.testing.assert_close(held(x), expected)
    (wanted,) = torch.autograd.grad(expected.square().sum(), x)
    (found,) = torch.autograd.grad(held(x).square().sum(), x)
    torch.testing.assert_close(found, wanted)


def test_constant_and_tiny_weights_are_finite():
    layer = nn.Linear(32, 3, bias=False)
    layer.weight.data = torch.tensor([[0.0], [2.0], [1e-9]]).expand(3, 32).contiguous()
    held = QuantizedLinear(layer, 4).whole(torch.float32)
    torch.testing.assert_close(held, layer.weight.data, atol=1e-6, rtol=1e-3)


def test_nothing_whole_is_kept_for_the_backward_pass():
    held, sizes = QuantizedLinear(nn.Linear(96, 64), 8), []

    def pack(tensor):
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        held(torch.randn(1, 96, requires_grad=True)).sum().backward()
    assert all(size < 64 * 96 for size in sizes)


@pytest.mark.parametrize("dtype", NARROW)
def test_features_and_losses_agree_with_float32(make_lm, dtype):
    least, apart = {"bfloat16": (0.999, 2e-3), "int8": (0.999, 1e-2), "int4": (0.8, 0.1)}[dtype]
    whole, narrow = (make_lm(dtype=torch.float32) for _ in range(2))
    narrow = narrow.held_in(dtype)
    assert (held_in(whole.network), held_in(narrow.network)) == ("float32", dtype)
    for features in (hidden_state_features, gradient_features):
        ours, theirs = (features(m, EXAMPLES, dtype="float32") for m in (whole, narrow))
        scores = [np.corrcoef(each)[np.triu_indices(12, 1)] for each in (ours, theirs)]
        assert least < np.corrcoef(*scores)[0, 1] < 1
    losses = [completion_losses(m, EXAMPLES, dtype="float32") for m in (whole, narrow)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=apart)


def test_neighbors_change_no_bit_of_quantized_features(make_lm):
    model = make_lm(dtype=torch.float32).held_in("int4")
    for features in (hidden_state_features, gradient_features):
        together, alone = features(model, EXAMPLES), features(model, EXAMPLES[3:4])
        np.testing.assert_array_equal(together[3], alone[0])


def test_fingerprints_differ_and_loading_is_converting(tiny_lm):
    read = {
        name: LanguageModel.from_pretrained(tiny_lm, dtype=name) for name in ("float32", *NARROW)
    }
    assert len({model.fingerprint for model in read.values()}) == 4
    converted = LanguageModel.from_pretrained(tiny_lm).held_in("int8")
    assert converted.fingerprint == read["int8"].fingerprint


def test_a_quantized_model_is_as_large_as_it_was(make_lm, monkeypatch):
    model = make_lm(dtype=torch.float32)
    count = model.network.base_model.num_parameters(exclude_embeddings=True)
    monkeypatch.setattr("airrep.language_model.passes.LARGE_MODEL_PARAMETERS", count)
    assert is_large(model.network)
    assert is_large(model.held_in("int4").network)


def test_what_needs_whole_weights_is_refused_with_what_does_not(make_lm):
    model = make_lm(dtype=torch.float32).held_in("int8")
    with pytest.raises(
        ArgumentError, match=r"second moments need whole weights.*held in int8.*rds"
    ):
        AdamGradientScorer(model).score(EXAMPLES[:1], EXAMPLES)
    with pytest.raises(ArgumentError, match="second moments need whole weights"):
        NudgeScorer(model, difference="jvp").score(EXAMPLES[:1], EXAMPLES)
    with pytest.raises(ArgumentError, match="Load the model in float32"):
        NudgeScorer(model)
    with pytest.raises(ArgumentError, match="load the model in float32"):
        choose_runner("direct", model, Recipe(), 10, 8)
    with pytest.raises(ArgumentError, match=r"no nn\.Linear in its blocks"):
        hold_in(make_lm("gpt2").network, "int8")
    with pytest.raises(ArgumentError, match="model_dtype 'int3' is unknown; choose float32"):
        hold_in(model.network, "int3")


def test_moments_of_bfloat16_weights_are_taken(make_lm, few_draws):
    whole, narrow = make_lm(dtype=torch.float32), make_lm(dtype=torch.bfloat16)
    scores = [
        AdamGradientScorer(m, dtype="float32").score(EXAMPLES[:3], EXAMPLES)
        for m in (whole, narrow)
    ]
    assert np.corrcoef(*(each.values().ravel() for each in scores))[0, 1] > 0.95


def test_a_store_of_other_weights_is_refused(make_lm, tmp_path):
    from airrep.errors import StoreError
    from airrep.store import EmbeddingStore

    model, store = make_lm(dtype=torch.float32), EmbeddingStore(tmp_path / "store")
    GradientScorer(model, rank=4, store=store).score(EXAMPLES[:1], EXAMPLES)
    with pytest.raises(StoreError):
        GradientScorer(model.held_in("int8"), rank=4, store=store).score(EXAMPLES[:1], EXAMPLES)


def test_verbs_score_with_narrow_weights_and_say_so(tiny_lm, tmp_path):
    pool, targets = curate.demo_pool(20), curate.demo_targets("email_reply", 2)
    options = {"scorer": "gradient", "model": tiny_lm, "duplicates": "off"}
    chosen = curate.select(pool, targets, 5, model_dtype="int8", **options)
    (read,) = chosen.manifest.encoders
    assert read["dtype"].endswith(", weights in int8")
    assert chosen.manifest.arguments["model_dtype"] == "int8"
    whole = curate.select(pool, targets, 5, **options).manifest.encoders[0]
    assert (read["fingerprint"] != whole["fingerprint"], "weights" in whole["dtype"]) == (
        True,
        False,
    )
    found = curate.harmful(pool, targets, 2, model=tiny_lm, model_dtype="int4", duplicates="off")
    assert found.manifest.encoders[0]["dtype"].endswith("int4")
    runs = tmp_path / "runs"
    curate.record(pool, targets, tiny_lm, runs, subsets=3, size=2, epochs=1, repeats=1)
    assert curate.lds(runs, pool, targets, scorer="rds", model_dtype="bfloat16", draws=0).mean <= 1


def test_a_number_type_without_a_model_to_load_is_refused(tiny_lm):
    pool, targets = curate.demo_pool(8), curate.demo_targets("email_reply", 1)
    with pytest.raises(ArgumentError, match="this scorer looks at none"):
        curate.select(pool, targets, 2, scorer="tfidf", model_dtype="int8")
    model = LanguageModel.from_pretrained(tiny_lm)
    with pytest.raises(ArgumentError, match=r"loaded already.*dtype='int8'"):
        curate.select(pool, targets, 2, scorer="rds", model=model, model_dtype="int8")


def test_a_manifest_without_the_argument_is_of_the_same_run(tiny_lm):
    pool, targets = curate.demo_pool(8), curate.demo_targets("email_reply", 1)
    from curate.manifest.provenance import run_in

    made = curate.select(pool, targets, 2, scorer="tfidf").manifest.to_dict()
    earlier = {**made, "arguments": dict(made["arguments"])}
    assert earlier["arguments"].pop("model_dtype") == "float32"
    assert run_in(earlier) == run_in(made)
