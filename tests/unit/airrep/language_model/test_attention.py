"""Attention by products: the kernel's, within the rounding of bfloat16."""

import pytest
import torch
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from airrep.language_model import attention
from airrep.language_model.attention import attention_by_products, by_products

SIZES = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.2,
}  # fmt: skip


def made(kind=LlamaForCausalLM, config=LlamaConfig, **changes):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind(config(**(SIZES if config is LlamaConfig else {}) | changes)).eval()


def padded():
    """Three texts of 23, 12 and 1 tokens."""
    ids = torch.arange(1, 70).view(3, 23) % 64
    lengths = torch.tensor([23, 12, 1])
    return ids, (torch.arange(23) < lengths[:, None]).long()


def gradients(network, ids, mask):
    network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        states = network.base_model(input_ids=ids, attention_mask=mask, use_cache=False)[0]
    weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(2))
    (states.float() * weights * mask[..., None]).sum().backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("heads", "groups"), [(4, 2), (3, 3), (4, 1)])
def test_it_is_softmax_attention_with_its_gradients(dtype, heads, groups):
    def draw(count):
        return torch.randn(2, 9, count, 8, generator=generator).to(dtype).transpose(1, 2)

    generator = torch.Generator().manual_seed(0)
    given = [draw(heads), draw(groups), draw(groups)]
    weights = draw(heads)
    mask = torch.ones(9, 9, dtype=torch.bool).tril().repeat(2, 1, 1, 1)
    mask[1, ..., 6:] = False

    def by_kernel(query, key, value):
        key, value = (each.repeat_interleave(heads // groups, 1) for each in (key, value))
        return functional.scaled_dot_product_attention(query, key, value, mask, scale=0.3)

    def by_us(query, key, value):
        return attention._Attention.apply(query, key, value, mask, 0.3)

    def of(function, own):
        leaves = [each.detach().to(own).requires_grad_() for each in given]
        found = function(*leaves)
        return [found, *torch.autograd.grad((found * weights).sum(), leaves)]

    for expected, found in zip(of(by_kernel, torch.float64), of(by_us, dtype), strict=True):
        apart = (found.double() - expected).norm() / expected.norm()
        assert apart < (1e-12 if dtype is torch.float64 else 2e-2)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_network_has_the_same_gradients_and_its_own_attention_again(kind):
    network = made() if kind == "llama" else made(GPT2LMHeadModel, GPT2Config, n_layer=2)
    exact = gradients(network, *padded())
    with attention_by_products(network, torch.bfloat16):
        assert network.config._attn_implementation == "products"
        found = gradients(network, *padded())
    assert network.config._attn_implementation == "sdpa"
    assert exact.keys() == found.keys()
    for name in exact:
        assert (found[name] - exact[name]).norm() <= 3e-2 * exact[name].norm(), name


def test_texts_without_padding_are_masked_all_the_same():
    network, ids = made(), padded()[0]
    exact = gradients(network, ids, torch.ones_like(ids))
    with attention_by_products(network, torch.bfloat16):
        found = gradients(network, ids, torch.ones_like(ids))
    name = "model.layers.0.self_attn.v_proj.weight"
    assert (found[name] - exact[name]).norm() <= 3e-2 * exact[name].norm()


def test_other_passes_go_to_the_kernel(monkeypatch):
    called = []
    monkeypatch.setattr(attention._Attention, "apply", lambda *args: called.append(args) or args[0])
    monkeypatch.setattr(attention, "_LONGEST", 20)
    network = made()
    with attention_by_products(network, torch.bfloat16), torch.no_grad():
        expected = network(torch.arange(40)[None]).logits
    assert not called
    torch.testing.assert_close(network(torch.arange(40)[None]).logits, expected)


def test_where_it_changes_nothing():
    network = made()
    assert not by_products(network, torch.float32)
    with attention_by_products(network, torch.float32):
        assert network.config._attn_implementation == "sdpa"
    network.set_attn_implementation("eager")
    assert not by_products(network, torch.bfloat16)
    with attention_by_products(network, torch.bfloat16):
        assert network.config._attn_implementation == "eager"
