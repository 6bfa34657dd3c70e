"""Projected gradients against autograd on one example at a time, and what may not change them."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from transformers.pytorch_utils import Conv1D

from airrep.errors import ArgumentError, EmbeddingError, RecordError
from airrep.gradients.features import gradient_features
from airrep.gradients.random_projections import (
    ProjectedLayer,
    projected_layers,
    rank_within,
    width_within,
)
from airrep.records import Example

EXAMPLES = [
    Example("a", "Where do whales live?", "Whales live in the sea."),
    Example("b", "What is 17 + 25?", "42"),
    Example("c", "Name a red fruit.", "An apple, of the red kind, and not a green one."),
    Example("d", "", "The quick brown fox jumps over the lazy dog."),
    Example("e", "Is the sea red? " * 6, "No."),
    Example("f", "What is 17 + 25?", "42"),
]
FULL = 10**6


@pytest.fixture(scope="module")
def model(make_lm):
    """Treat as read-only."""
    return make_lm()


def _weight_gradients(model, losses, layers):
    """dloss/dW as (outputs, inputs), for every example and layer, in float64."""
    modules = [model.network.get_submodule(layer.name) for layer in layers]
    for loss in losses:
        found = torch.autograd.grad(loss, [m.weight for m in modules], retain_graph=True)
        yield [
            (g.T if isinstance(m, Conv1D) else g).numpy()
            for m, g in zip(modules, found, strict=True)
        ]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("rank", [3, 40, FULL])
def test_they_are_the_projections_of_each_examples_weight_gradients(
    make_lm, plain_losses, kind, rank
):
    model = make_lm(kind)
    layers = projected_layers(model.network, rank=rank)
    assert len(layers) == {"llama": 14, "gpt2": 8}[kind]
    features = gradient_features(model, EXAMPLES, rank=rank, seed=5, dtype="float32")
    gradients = list(_weight_gradients(model, plain_losses(model, EXAMPLES), layers))
    start = 0
    for number, layer in enumerate(layers):
        stop = start + layer.width
        left, right = layer.random_projections(5)
        for mine, theirs in zip(features, gradients, strict=True):
            expected = theirs[number]
            assert expected.shape == layer.sizes
            expected = expected if left is None else left @ expected
            expected = expected if right is None else expected @ right.T
            scale = np.abs(expected).max()
            np.testing.assert_allclose(
                mine[start:stop].reshape(layer.ranks), expected, rtol=1e-5, atol=1e-5 * scale
            )
        start = stop
    assert start == features.shape[1]
    assert (rank < FULL) or all(p is None for p in layers[0].random_projections(5))


def test_float32_weights_give_the_same(make_lm, model):
    narrow = gradient_features(make_lm(dtype=torch.float32), EXAMPLES, dtype="float32")
    wide = gradient_features(model, EXAMPLES, dtype="float32")
    np.testing.assert_allclose(narrow, wide, atol=1e-4 * np.abs(wide).max())


def test_bfloat16_is_close(make_lm):
    model = make_lm(dtype=torch.float32)
    narrow, wide = (gradient_features(model, EXAMPLES, dtype=d) for d in ("bfloat16", "float32"))
    assert not np.array_equal(narrow, wide)
    lengths = np.linalg.norm(narrow, axis=1) * np.linalg.norm(wide, axis=1)
    assert ((narrow * wide).sum(axis=1) / lengths).min() > 0.98


@pytest.mark.isa
def test_batches_order_and_neighbors_do_not_matter(make_lm):
    model = make_lm(dtype=torch.float32)
    together = gradient_features(model, EXAMPLES, dtype="float32")
    backwards = gradient_features(model, EXAMPLES[::-1], dtype="float32")[::-1]
    single = gradient_features(model, EXAMPLES, tokens_per_batch=1, dtype="float32")
    alone = np.concatenate([gradient_features(model, [e], dtype="float32") for e in EXAMPLES])
    for other in (backwards, single, alone):
        np.testing.assert_array_equal(other, together)


def test_examples_that_are_alike_have_rows_that_are_alike(model):
    features = gradient_features(model, EXAMPLES, tokens_per_batch=16)
    np.testing.assert_array_equal(features[1], features[5])
    assert len(np.unique(features, axis=0)) == 5
    assert features.dtype == np.float32


def test_the_last_blocks_alone_are_the_last_columns(model):
    every = gradient_features(model, EXAMPLES, rank=4)
    last = gradient_features(model, EXAMPLES, rank=4, layers=1)
    assert 0 < last.shape[1] < every.shape[1]
    np.testing.assert_allclose(last, every[:, -last.shape[1] :], rtol=1e-6)
    assert all(".1." in layer.name for layer in projected_layers(model.network, layers=1))


@pytest.mark.parametrize("modules", ["*.mlp.*", ["*q_proj", "*.1.*up_proj"]])
def test_modules_are_the_columns_of_these_layers(model, modules):
    every = projected_layers(model.network, rank=4)
    some = projected_layers(model.network, rank=4, modules=modules)
    wanted = {layer.name for layer in some}
    assert len(wanted) == (6 if isinstance(modules, str) else 3)
    whole = gradient_features(model, EXAMPLES, rank=4)
    columns = np.concatenate([np.full(e.width, e.name in wanted) for e in every])
    found = gradient_features(model, EXAMPLES, rank=4, modules=modules)
    np.testing.assert_array_equal(found, whole[:, columns])


def test_modules_that_are_not_there_are_told(model):
    with pytest.raises(ArgumentError, match=r"modules 'lm_head': no layer of this name among 14"):
        gradient_features(model, EXAMPLES, modules="lm_head")


def test_a_rank_leaves_as_many_features_as_there_may_be():
    layers = [ProjectedLayer(str(i), (576, 20 if i else 576), (1, 1)) for i in range(10)]
    assert rank_within(layers, 64, features=10 * 400) == 20
    assert rank_within(layers, 64, features=30 * 30 + 9 * 30 * 20) == 30, "20 is all of a side"
    assert rank_within(layers, 16, features=10**6) == 16
    assert rank_within(layers, 64, features=3) == 1
    assert width_within(layers, 16384, features=1000) == 100
    assert width_within(layers, 16, features=1000) == 16
    assert width_within(layers, 16384, features=3) == 1


def test_weights_that_are_cast_once_change_no_bit(make_lm, monkeypatch):
    model = make_lm(dtype=torch.float32)
    found = gradient_features(model, EXAMPLES, dtype="bfloat16")
    monkeypatch.setattr("airrep.gradients.features.weights_cast_once", lambda *_: nullcontext())
    np.testing.assert_array_equal(gradient_features(model, EXAMPLES, dtype="bfloat16"), found)


def test_a_weight_that_is_used_twice_has_one_gradient(make_lm, plain_losses):
    model = make_lm()
    blocks = model.network.model.layers
    blocks[1].mlp = blocks[0].mlp
    layers = projected_layers(model.network, rank=FULL)
    number = [layer.name for layer in layers].index("model.layers.0.mlp.up_proj")
    start = sum(layer.width for layer in layers[:number])
    features = gradient_features(model, EXAMPLES[:1], rank=FULL)
    (expected,) = torch.autograd.grad(
        plain_losses(model, EXAMPLES[:1]).sum(), [blocks[0].mlp.up_proj.weight]
    )
    np.testing.assert_allclose(
        features[0, start : start + expected.numel()], expected.flatten().numpy(), rtol=1e-4,
        atol=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_callers_without_autograd_get_the_same(model, guard):
    expected = gradient_features(model, EXAMPLES)
    with guard():
        np.testing.assert_array_equal(gradient_features(model, EXAMPLES), expected)


def _state(network):
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return (
        {name: p.detach().clone() for name, p in network.state_dict().items()},
        {name: (p.requires_grad, p.grad) for name, p in network.named_parameters()},
        {name: m.training for name, m in network.named_modules()},
        {(name, h): len(getattr(m, h)) for name, m in network.named_modules() for h in hooks},
    )


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_left_as_it_was(make_lm, fails):
    model = make_lm()
    network = model.network
    network.model.layers[0].train()
    network.model.embed_tokens.weight.requires_grad_(False)
    network.lm_head.weight.grad = kept = torch.ones_like(network.lm_head.weight)
    if fails:  # in the middle of the forward pass
        network.model.layers[1].mlp.act_fn.forward = lambda x: 1 / 0
    before = _state(network)
    if fails:
        with pytest.raises(ZeroDivisionError):
            gradient_features(model, EXAMPLES)
    else:
        gradient_features(model, EXAMPLES)
    after = _state(network)
    assert before[0].keys() == after[0].keys()
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    assert before[1:] == after[1:]
    assert network.lm_head.weight.grad is kept


def test_projections_depend_on_seed_layer_and_side_alone(model):
    assert np.array_equal(gradient_features(model, EXAMPLES), gradient_features(model, EXAMPLES))
    other = gradient_features(model, EXAMPLES, seed=1)
    assert not np.allclose(gradient_features(model, EXAMPLES), other)
    layer, twin = (ProjectedLayer(name, (30, 30), (4, 4)) for name in ("one", "two"))
    drawn = [
        *layer.random_projections(0),
        *layer.random_projections(1),
        *twin.random_projections(0),
    ]
    assert len({p.tobytes() for p in drawn}) == len(drawn)
    for matrix in drawn:
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(4) * 30 / 4, atol=1e-12)


def test_inner_products_survive_projection_on_average():
    layer = ProjectedLayer("layer", (12, 9), (3, 4))
    rng = np.random.default_rng(0)
    one = rng.standard_normal((12, 9))
    two = one + rng.standard_normal((12, 9))
    estimates = []
    for seed in range(800):
        left, right = layer.random_projections(seed)
        estimates.append(((left @ one @ right.T) * (left @ two @ right.T)).sum())
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - (one * two).sum()) < 4 * error


def test_no_examples_no_rows(model):
    width = sum(layer.width for layer in projected_layers(model.network, rank=2))
    assert gradient_features(model, [], rank=2).shape == (0, width)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank should be >= 1, found 0"),
        ({"layers": 0}, "layers should be 1 to 2, the model's blocks, found 0"),
        ({"layers": 3}, "layers should be 1 to 2"),
        ({"dtype": "float8"}, "dtype 'float8' is unknown; choose auto, float32 or bfloat16"),
        ({"tokens_per_batch": 0}, "tokens_per_batch should be >= 1"),
    ],
)
def test_options_that_cannot_be(model, options, message):
    with pytest.raises(ArgumentError, match=message):
        gradient_features(model, EXAMPLES, **options)


def test_broken_weights_are_told(make_lm):
    model = make_lm()
    with torch.no_grad():
        model.network.model.layers[1].mlp.up_proj.weight[0, 0] = torch.nan
    with pytest.raises(EmbeddingError, match="gradients: NaN or infinity for 6 of 6 examples"):
        gradient_features(model, EXAMPLES)


def test_an_example_without_a_completion_is_told(model):
    with pytest.raises(RecordError, match="the completion is empty"):
        gradient_features(model, [Example("x", "Why?", " ")])


def test_networks_without_a_layer_to_look_at(make_lm):
    network = make_lm().network
    network.model.layers = torch.nn.ModuleList([torch.nn.Identity(), torch.nn.Identity()])
    with pytest.raises(ArgumentError, match=r"LlamaForCausalLM: no nn\.Linear or Conv1D"):
        projected_layers(network)
    network.model.layers = torch.nn.ModuleList()
    with pytest.raises(ArgumentError, match="no list of 2 transformer blocks"):
        projected_layers(network)


def test_layers_that_mix_examples_are_refused(make_lm):
    model = make_lm()
    mlp = model.network.model.layers[1].mlp
    whole = mlp.forward
    mlp.forward = lambda x: whole(x[:, :1])
    with pytest.raises(ArgumentError, match="cannot be told apart by example"):
        gradient_features(model, EXAMPLES)
