"""The forward pass over texts without padding agrees with the model's own."""

import numpy as np
import pytest
import torch

from airrep import AirRep
from airrep import encoder as encoder_module
from airrep.language_model.batching import TIGHT_TOKENS, plan_tight
from airrep.network import tight
from airrep.network.modeling import AirRepConfig, AirRepModel
from airrep.network.tight import TightModel

TEXTS = [" ".join(["river"] * n) for n in (1, 13, 14, 15, 40, 200, 600, 2)]


@pytest.mark.parametrize("how", ["mean", "cls", "segments", "levels"])
@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("packed", [True, False])
def test_it_computes_the_model_s_features(monkeypatch, how, activation, packed):
    if not packed:
        monkeypatch.setattr(tight, "_packed", lambda weight: None)
    encoder = AirRep.default(dtype="float32")
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    template = encoder.model.config.template
    config = AirRepConfig(
        **sizes, intermediate_size=48, token_pooling=how, hidden_act=activation, template=template
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = AirRep(AirRepModel(config).eval(), encoder.tokenizer)
    found = encoder.encode(TEXTS)
    monkeypatch.setattr(encoder_module, "can_be_tight", lambda model: False)
    np.testing.assert_allclose(found, encoder.encode(TEXTS), rtol=1e-4, atol=1e-5)


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_text_s_bits_do_not_depend_on_its_place(dtype):
    encoder = AirRep.default(device="cpu", dtype=dtype)
    network = TightModel(encoder.model)
    texts = encoder.reader.tokens([*TEXTS[:6], "What is it?\nAnswer: Salt."])
    with torch.inference_mode():
        for text in texts:
            (alone,) = network.features([text])
            for before in ([texts[0]], texts[1:4], [texts[5], texts[2]]):
                found = network.features([*before, text, texts[4]])
                assert torch.equal(found[len(before)], alone)


def test_weights_that_change_are_packed_anew():
    encoder = AirRep.default(dtype="float32")
    before = encoder.encode(TEXTS[:2])
    with torch.no_grad():
        encoder.model.bert.encoder.layer[0].output.dense.weight.mul_(0.5)
    assert not np.allclose(encoder.encode(TEXTS[:2]), before, atol=1e-3)


def test_passes_hold_every_text_once_and_are_full():
    lengths = np.random.default_rng(0).integers(1, 513, 500).tolist()
    passes = plan_tight(lengths)
    assert sorted(np.concatenate(passes).tolist()) == list(range(500))
    sizes = [sum(lengths[i] for i in members) for members in passes]
    assert max(sizes) <= TIGHT_TOKENS
    assert np.mean(sizes[:-1]) > 0.95 * TIGHT_TOKENS
    assert plan_tight([]) == []


def test_an_encoder_with_adapters_is_computed_by_its_own_modules():
    model = AirRep.default(dtype="float32").model
    assert tight.can_be_tight(model)
    attention = model.bert.encoder.layer[3].attention.self
    attention.query = torch.nn.Sequential(attention.query)
    assert not tight.can_be_tight(model)
