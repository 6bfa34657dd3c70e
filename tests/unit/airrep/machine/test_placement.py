"""Networks on several devices; there is one here, with the hooks of several."""

import numpy as np
import pytest
import torch

from airrep.errors import ArgumentError
from airrep.gradients.features import gradient_features
from airrep.language_model.hidden_states import hidden_state_features
from airrep.language_model.losses import completion_losses
from airrep.language_model.model import LanguageModel
from airrep.machine import placement
from airrep.records import Example

EXAMPLES = [Example(str(i), "What comes next? " * (i % 4), "a word " * (1 + i)) for i in range(9)]
SPREAD = {
    "model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "cpu",
    "model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "cpu",
}  # fmt: skip


@pytest.mark.parametrize("device_map", ["auto", SPREAD])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_network_with_a_device_map_scores_as_one_without(tiny_lm, device_map, dtype):
    whole = LanguageModel.from_pretrained(tiny_lm, device="cpu", dtype=dtype)
    spread = LanguageModel.from_pretrained(tiny_lm, device_map=device_map, dtype=dtype)
    assert spread.network.hf_device_map == ({"": "cpu"} if device_map == "auto" else SPREAD)
    hooked = spread.network if device_map == "auto" else spread.network.model.layers[1]
    assert hasattr(hooked, "_hf_hook")
    assert spread.fingerprint == whole.fingerprint
    for compute in (completion_losses, hidden_state_features, gradient_features):
        np.testing.assert_array_equal(compute(spread, EXAMPLES), compute(whole, EXAMPLES))


def gpus(monkeypatch, free):
    """Pretend that there are GPUs with so many free bytes."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(free))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda gpu=0: (free[gpu], free[gpu]))
    sent = []
    monkeypatch.setattr(placement, "dispatch_model", lambda _, places, **__: sent.append(places))
    monkeypatch.setattr(torch.nn.Module, "to", lambda network, device: sent.append(str(device)))
    return sent


def test_a_model_is_spread_only_where_one_of_several_gpus_is_too_small(make_lm, monkeypatch):
    network = make_lm(dtype=torch.float32).network
    size = placement.size_in_bytes(network)
    for free, expected in (
        ([2 * size, 2 * size], ["cuda"]),
        ([size], ["cuda"]),  # there is no other: it may be tight, and is tried
    ):
        sent = gpus(monkeypatch, free)
        placement.place(network)
        assert sent == expected
    sent = gpus(monkeypatch, [size, size])
    placement.place(network)
    (found,) = sent
    assert set(found.values()) == {0, 1}
    assert not any("mlp" in name or "self_attn" in name for name in found)  # blocks stay whole


def test_weights_that_no_gpus_hold_are_refused(make_lm, monkeypatch):
    network = make_lm(dtype=torch.float32).network
    size = placement.size_in_bytes(network)
    gpus(monkeypatch, [size // 4, size // 4])
    with pytest.raises(ArgumentError, match=r"the GPUs have room for .*--model-dtype int8"):
        placement.place(network)


def test_a_device_and_a_map_are_one_too_many(tiny_lm):
    with pytest.raises(ArgumentError, match="device and device_map are both given"):
        LanguageModel.from_pretrained(tiny_lm, device="cpu", device_map="auto")
