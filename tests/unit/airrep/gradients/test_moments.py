"""Second moments against batch gradients taken one by one."""

import numpy as np
import pytest
import torch
from transformers.pytorch_utils import Conv1D

from airrep.errors import ArgumentError, EmbeddingError
from airrep.gradients.moments import _draws, second_moments
from airrep.gradients.random_projections import projected_layers
from airrep.records import Example

EXAMPLES = [
    Example("a", "Where do whales live?", "Whales live in the sea."),
    Example("b", "What is 17 + 25?", "42"),
    Example("c", "Name a red fruit.", "An apple, of the red kind."),
    Example("d", "Is the sea red? " * 6, "No."),
]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_they_are_the_mean_squares_of_batch_gradients(make_lm, plain_losses, kind):
    """A batch's loss is the mean over all of its completion tokens, as training takes it."""
    model = make_lm(kind)
    moments = second_moments(
        model, EXAMPLES, batch_size=3, draws=5, seed=7, tokens_per_batch=20, dtype="float32"
    )
    layers = projected_layers(model.network)
    assert list(moments) == [layer.name for layer in layers]
    counts = torch.tensor([len(t.ids) - t.start for t in model.tokenize(EXAMPLES)])
    rng = np.random.default_rng(7)
    draws = [np.sort(rng.choice(4, 3, replace=False)) for _ in range(5)]
    for layer in layers:
        module = model.network.get_submodule(layer.name)
        expected = 0
        for draw in draws:
            losses = plain_losses(model, EXAMPLES)[draw]
            mean = (losses * counts[draw]).sum() / counts[draw].sum()
            (gradient,) = torch.autograd.grad(mean, module.weight)
            expected = expected + gradient.square() / 5
        expected = expected.T if isinstance(module, Conv1D) else expected
        assert tuple(moments[layer.name].shape) == layer.sizes
        np.testing.assert_allclose(
            moments[layer.name].numpy(), expected.numpy(), rtol=1e-3,
            atol=1e-5 * float(expected.max()),
        )  # fmt: skip


def test_small_pools_are_one_batch_and_the_model_is_left_as_it_was(make_lm):
    model = make_lm(dtype=torch.float32)
    network = model.network.train()
    network.lm_head.weight.requires_grad_(False)
    network.model.norm.weight.grad = torch.ones_like(network.model.norm.weight)
    once = second_moments(model, EXAMPLES, batch_size=100, draws=1, dtype="float32")
    often = second_moments(model, EXAMPLES, batch_size=4, draws=3, dtype="float32")
    for name, moment in once.items():
        np.testing.assert_allclose(moment, often[name], rtol=1e-4, atol=1e-12)
    assert network.training
    assert not network.lm_head.weight.requires_grad
    assert network.model.norm.weight.requires_grad
    assert (network.model.norm.weight.grad == 1).all()
    assert all(p.grad is None for p in network.model.layers.parameters())


def test_only_the_last_blocks(make_lm):
    model = make_lm(dtype=torch.float32)
    last = second_moments(model, EXAMPLES, layers=1, draws=2, dtype="float32")
    every = second_moments(model, EXAMPLES, draws=2, dtype="float32")
    assert 0 < len(last) < len(every)
    for name, moment in last.items():
        np.testing.assert_allclose(moment, every[name], rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize(
    ("examples", "batches"), [(20, 1), (21, 10), (200, 20), (990, 99), (5000, 100)]
)
def test_by_default_the_batches_cover_the_pool_about_twice(examples, batches):
    assert _draws(examples, 20) == batches


def test_what_it_refuses(make_lm):
    model = make_lm(dtype=torch.float32)
    with pytest.raises(ArgumentError, match="found 0 examples, batch_size 20 and draws None"):
        second_moments(model, [])
    with pytest.raises(ArgumentError, match="draws >= 1"):
        second_moments(model, EXAMPLES, draws=0)
    with torch.no_grad():
        model.network.model.layers[0].mlp.up_proj.weight[0, 0] = torch.nan
    with pytest.raises(EmbeddingError, match="second moments: NaN or infinity in"):
        second_moments(model, EXAMPLES, draws=1)
