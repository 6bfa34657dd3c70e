"""Sketches of whole gradients: what they estimate, and what may not change them."""

import numpy as np
import pytest
import torch

from airrep.errors import ArgumentError
from airrep.gradients.features import reduced_gradients
from airrep.gradients.random_projections import projected_layers
from airrep.gradients.reductions import Sketch
from airrep.records import Example

EXAMPLES = [
    Example("a", "Where do whales live?", "Whales live in the sea."),
    Example("b", "What is 17 + 25?", "42"),
    Example("c", "Name a red fruit.", "An apple, of the red kind, and not a green one."),
    Example("d", "Is the sea red? " * 6, "No."),
    Example("e", "What is 17 + 25?", "42"),
]


def _sketches(model, width, seed=0, weights=None):
    layers = projected_layers(model.network)
    return [
        Sketch(layer.name, torch.ones(layer.sizes) if weights is None else weights[layer.name],
               width, seed)
        for layer in layers
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_inner_products_of_wide_sketches_are_those_of_the_weighted_gradients(
    make_lm, plain_losses, kind
):
    """As wide as the gradient, only signs are drawn: nothing is lost."""
    model = make_lm(kind)
    layers = projected_layers(model.network)
    generator = torch.Generator().manual_seed(0)
    weights = {la.name: torch.rand(la.sizes, generator=generator) + 0.5 for la in layers}
    found = reduced_gradients(
        model, EXAMPLES, _sketches(model, 10**6, weights=weights), dtype="float32"
    )
    modules = [model.network.get_submodule(layer.name) for layer in layers]
    explicit = []
    for loss in plain_losses(model, EXAMPLES):
        parts = torch.autograd.grad(loss, [m.weight for m in modules], retain_graph=True)
        explicit.append(
            torch.cat([
                ((g.T if tuple(g.shape) != la.sizes or kind == "gpt2" else g)
                 * weights[la.name]).flatten()
                for g, la in zip(parts, layers, strict=True)
            ]).numpy()
        )  # fmt: skip
    expected = np.array(explicit) @ np.array(explicit).T
    np.testing.assert_allclose(found @ found.T, expected, rtol=1e-4, atol=1e-5 * expected.max())


@pytest.mark.slow
def test_narrow_sketches_estimate_them_without_bias(make_lm):
    model = make_lm(dtype=torch.float32)
    exact = reduced_gradients(model, EXAMPLES, _sketches(model, 10**6), dtype="float32")
    wanted = exact @ exact.T
    drawn = []
    for seed in range(40):
        some = reduced_gradients(model, EXAMPLES, _sketches(model, 64, seed), dtype="float32")
        assert some.shape == (5, 64 * 14)
        drawn.append(some @ some.T)
    lengths = np.sqrt(np.diag(wanted))
    error = (np.array(drawn) - wanted) / np.outer(lengths, lengths)
    bound = 4 * error.std(axis=0) / np.sqrt(40)
    assert (np.abs(error.mean(axis=0)) <= bound + 1e-6).all()
    assert error.std() < 1.5 / np.sqrt(64)


@pytest.mark.isa
def test_batches_and_neighbors_do_not_matter(make_lm):
    model = make_lm(dtype=torch.float32)
    together = reduced_gradients(model, EXAMPLES, _sketches(model, 128), dtype="float32")
    single = reduced_gradients(
        model, EXAMPLES[::-1], _sketches(model, 128), tokens_per_batch=1, dtype="float32"
    )[::-1]
    np.testing.assert_array_equal(single, together)
    np.testing.assert_array_equal(together[1], together[4])  # examples exactly alike


def test_the_same_layer_is_sketched_the_same_way_and_others_are_not():
    weights = torch.ones(8, 16)
    gradients, inputs = torch.randn(2, 3, 8), torch.randn(2, 3, 16)

    def made(name: str, seed: int) -> torch.Tensor:
        sketch = Sketch(name, weights, 10, seed)  # 10 does not divide 128
        return sketch.reduce(sketch.keep(inputs), gradients)

    assert made("a", 0).shape == (2, 10)
    assert torch.equal(made("a", 0), made("a", 0))
    assert not torch.equal(made("a", 0), made("b", 0))
    assert not torch.equal(made("a", 0), made("a", 1))


def test_a_width_below_one_is_refused():
    with pytest.raises(ArgumentError, match="width should be >= 1, found 0"):
        Sketch("a", torch.ones(2, 2), 0, 0)
