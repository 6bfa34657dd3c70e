"""Memory of scoring passes, from configs alone."""

import pytest
from transformers import LlamaConfig

from airrep.gradients.memory import scoring_memory
from airrep.language_model.batching import LANGUAGE_MODEL_PASS_TOKENS
from airrep.language_model.model import LanguageModel
from airrep.language_model.weights import QuantizedLinear

GPU = 80e9
LLAMA_8B = LlamaConfig(
    vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
    num_attention_heads=32, num_key_value_heads=8, max_position_embeddings=131072,
)  # fmt: skip


@pytest.mark.parametrize("scored_by", ["rds", "losses", "gradient"])
@pytest.mark.parametrize("dtype", ["bfloat16", "int8", "int4"])
def test_an_8b_llama_scores_on_one_gpu(scored_by, dtype):
    needed = scoring_memory(LLAMA_8B, scored_by, dtype=dtype, tokens_per_batch=4096)
    assert 6e9 < needed.weights < needed.total < GPU
    expected = {"bfloat16": 16.06e9, "int8": 10.3e9, "int4": 6.8e9}[dtype]  # 8.03e9 weights
    assert needed.weights == pytest.approx(expected, rel=0.05)


def test_what_does_not_fit_is_seen():
    whole = scoring_memory(LLAMA_8B, "gradient", narrow=False, tokens_per_batch=4096)
    assert whole.total > GPU
    assert scoring_memory(LLAMA_8B, "gradient", dtype="int8", tokens_per_batch=16384).total > GPU
    for several_a_weight in ("gradient_adam", "nudge"):
        assert scoring_memory(LLAMA_8B, several_a_weight).total > GPU


def test_weights_are_as_many_bytes_as_they_turn_out(tiny_lm):
    for dtype in ("float32", "bfloat16", "int8", "int4"):
        network = LanguageModel.from_pretrained(tiny_lm, device="cpu", dtype=dtype).network
        held = sum(each.nbytes for each in network.state_dict().values())
        layers = (each for each in network.modules() if isinstance(each, QuantizedLinear))
        largest = max((each.in_features * each.out_features for each in layers), default=0)
        found = scoring_memory(tiny_lm, "rds", dtype=dtype, narrow=False).weights
        assert found == held + 6 * largest


def test_passes_take_what_they_hold(tiny_lm):
    rds, losses, gradient = (scoring_memory(tiny_lm, by) for by in ("rds", "losses", "gradient"))
    assert rds.logits == rds.features == losses.features == 0 < losses.logits < gradient.logits
    assert rds.activations == losses.activations == gradient.activations // 2  # of two blocks
    half = scoring_memory(tiny_lm, "gradient", tokens_per_batch=LANGUAGE_MODEL_PASS_TOKENS // 2)
    assert half.activations * 2 == gradient.activations
    assert half.logits * 2 == gradient.logits
    assert scoring_memory(tiny_lm, "gradient", rank=4).features < gradient.features
    long = scoring_memory(tiny_lm, "gradient", longest=2 * LANGUAGE_MODEL_PASS_TOKENS)
    assert long.activations == 2 * gradient.activations
    # with weights in bfloat16 beside those in float32
    assert rds.weights > scoring_memory(tiny_lm, "rds", narrow=False).weights
