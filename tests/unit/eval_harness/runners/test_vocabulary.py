"""Gradients of embedding and head are autograd's, whatever parts a batch is divided into."""

import pytest
import torch
from torch import nn
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PhiConfig,
    PhiForCausalLM,
)

from airrep.language_model.token_losses import token_losses
from eval_harness.runners import vocabulary
from eval_harness.runners.vocabulary import Vocabulary, is_plain

SIZES = {
    "vocab_size": 40, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "initializer_range": 0.3,
    "pad_token_id": 3, "eos_token_id": 1, "bos_token_id": None, "max_position_embeddings": 64,
}  # fmt: skip
SMALL = {"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 40, "n_positions": 64}
KINDS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "llama, tied": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True)),
    "gemma3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**SIZES)),  # scales its embeddings
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**SMALL)),
}


def made(kind):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return (KINDS[kind] if isinstance(kind, str) else kind)().eval()


def batch():
    """Five texts, with token 3, which is padding, among their own tokens."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 40, (5, 12), generator=generator)
    ids[:, 4] = 3
    ids[:, 7] = 3
    mask = (torch.arange(12) < torch.tensor([12, 12, 9, 8, 8])[:, None]).long()
    return ids, mask, (torch.arange(12) >= 5) & mask.bool()


@pytest.mark.parametrize("at_once", [1, 4, 256])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_autograd(kind, at_once, monkeypatch):
    monkeypatch.setattr(vocabulary, "LOGITS_AT_ONCE", at_once)
    network, (ids, mask, trained) = made(kind), batch()
    assert is_plain(network, ids[:1])
    expected = torch.cat(token_losses(network, ids, mask, trained)).mean()
    expected.backward()
    exact = {name: p.grad.clone() for name, p in network.named_parameters()}
    network.zero_grad()
    layers, count = Vocabulary(network, torch.float32), int(trained[:, 1:].sum())
    total = 0.0
    for part in (slice(0, 2), slice(2, 5)):
        total += layers.backward(ids[part], mask[part], trained[part], count)
    layers.finish_batch(count)
    assert total / count == pytest.approx(float(expected.detach()), rel=1e-6)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, exact[name], rtol=1e-4, atol=1e-6, msg=name)


def test_weights_that_do_not_move_get_no_gradient():
    network, given = made("llama"), batch()
    network.requires_grad_(False)
    network.model.layers[0].requires_grad_(True)
    layers = Vocabulary(network, torch.float32)
    layers.backward(*given, 10)
    layers.finish_batch(10)
    assert network.lm_head.weight.grad is None
    assert network.get_input_embeddings().weight.grad is None
    assert network.model.layers[0].mlp.up_proj.weight.grad is not None


def test_a_head_that_moves_is_cast_anew():
    network, given = made("llama, tied"), batch()
    layers = Vocabulary(network, torch.bfloat16)
    before = layers.backward(*given, 10)
    layers.finish_batch(10)
    with torch.no_grad():
        network.lm_head.weight *= 3.0
    assert abs(layers.backward(*given, 10) - before) > 1.0


@pytest.mark.parametrize(
    "kind",
    [
        lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES, final_logit_softcapping=2.0)),
        lambda: PhiForCausalLM(PhiConfig(**{k: SIZES[k] for k in SIZES if k != "head_dim"})),
    ],
    ids=["logits capped", "head with a bias"],
)
def test_other_heads_are_known(kind):
    assert not is_plain(made(kind), batch()[0][:1])


def test_other_embeddings_are_known():
    network = made("llama")

    class Shifted(nn.Embedding):
        def forward(self, ids):
            return super().forward(ids) + 1.0

    network.set_input_embeddings(Shifted(40, 16))
    assert not is_plain(network, batch()[0][:1])
