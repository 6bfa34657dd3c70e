"""Copies compute what the encoder computes, and nothing that happens to one reaches the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from airrep import AirRep
from airrep.training.copies import copy_to_train, save_narrow

TEXTS = ["What is a river?", "a stone by the green river", "why two"]


@pytest.fixture(params=["segments", "prediction", "gradient"])
def encoder(request, make_encoder, make_reading_model):
    """A sentence encoder, or a language model whose embeddings are its output layer, too."""
    if request.param == "segments":
        return make_encoder(token_pooling="segments")
    made = make_reading_model(tied=True, token_pooling=request.param)
    with torch.no_grad():
        torch.nn.init.normal_(made.model.projector.weight)
    return made


def memory(module):
    return {parameter.data_ptr() for parameter in module.parameters()}


@pytest.mark.parametrize("backbone", [True, False])
def test_a_copy_computes_the_same_bits(encoder, backbone):
    encoder.model.train()
    copied = copy_to_train(encoder, backbone=backbone)
    assert encoder.model.training
    assert not any(module.training for module in copied.model.modules())
    encoder.model.eval()
    assert np.array_equal(copied.encode(TEXTS), encoder.encode(TEXTS))
    assert copied.fingerprint == encoder.fingerprint


def test_only_a_backbone_that_is_not_trained_is_shared(encoder):
    own, shared = (copy_to_train(encoder, backbone=backbone) for backbone in (True, False))
    assert not memory(own.model) & memory(encoder.model)
    assert memory(shared.model) & memory(encoder.model) == memory(encoder.model.bert)
    shared.model.requires_grad_(False)
    assert all(parameter.requires_grad for parameter in encoder.model.bert.parameters())


@pytest.mark.parametrize(("largest", "precision"), [(2.0, "float16"), (1e5, "float32")])
def test_saving_in_half_the_space_changes_nothing_here(encoder, tmp_path, largest, precision):
    with torch.no_grad():
        encoder.model.projector.bias[0] = largest
    before = {name: tensor.clone() for name, tensor in encoder.model.state_dict().items()}
    embeddings, config = encoder.encode(TEXTS), encoder.model.config.to_dict()
    assert save_narrow(encoder, tmp_path / "saved") == precision
    after = encoder.model.state_dict()
    assert all(after[name].dtype == tensor.dtype for name, tensor in before.items())
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert encoder.model.config.to_dict() == config
    assert np.array_equal(encoder.encode(TEXTS), embeddings)
    loaded = AirRep.from_pretrained(tmp_path / "saved", dtype="float32").model.state_dict()
    narrow = {name: tensor.to(getattr(torch, precision)) for name, tensor in before.items()}
    assert all(torch.equal(loaded[name], tensor.float()) for name, tensor in narrow.items())
