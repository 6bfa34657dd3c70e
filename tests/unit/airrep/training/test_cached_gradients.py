"""Chunk by chunk gives the gradient of the whole, in the memory of a chunk."""

from __future__ import annotations

from collections import Counter
from weakref import WeakSet

import numpy as np
import pytest
import torch
from torch import nn

from airrep.errors import ArgumentError, EmbeddingError, LossError
from airrep.training.cached_gradients import cached_backward
from airrep.training.objective import group_scores, pairwise_loss

ROWS, POOL = 24, 18  # the other rows are targets


def make_network():
    """Two layers that share a weight, in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.LayerNorm(6))
    network[2].weight = network[0].weight
    return network.double()


def make_inputs():
    return torch.from_numpy(np.random.default_rng(0).normal(size=(ROWS, 6)))


def make_loss(pooling="attention", count=8):
    """Ranking of subsets that overlap, of two sizes, which together hold every row."""
    draws = np.random.default_rng(1)
    subsets = [draws.permutation(POOL)[: 5 + 4 * (i % 2)] for i in range(count - 1)]
    subsets.append(np.arange(POOL))
    labels = torch.from_numpy(draws.normal(size=(count, ROWS - POOL)))

    def loss_of(embeddings):
        targets, pool = embeddings[POOL:], embeddings[:POOL]
        return pairwise_loss(group_scores(targets, pool, subsets, pooling=pooling), labels)

    return loss_of


def split(size, shuffled=True):
    order = np.random.default_rng(2).permutation(ROWS) if shuffled else np.arange(ROWS)
    return [order[i : i + size] for i in range(0, ROWS, size)]


def gradients(network):
    return [parameter.grad for parameter in network.parameters()]


def plain(loss_of, network=None):
    network = network or make_network()
    loss = loss_of(network(make_inputs()))
    loss.backward()
    return loss.item(), gradients(network)


def cached(loss_of, chunks, network=None):
    network, inputs = network or make_network(), make_inputs()
    loss = cached_backward(
        lambda chunk: network(inputs[chunk]), chunks, ROWS, loss_of, network.parameters()
    )
    return loss, gradients(network)


class Held:
    """What the graph of one chunk keeps alive."""

    def __init__(self, rows):
        self.rows = rows


class Watched:
    """A network that counts how often each row is encoded, and the rows in graphs at a time."""

    def __init__(self):
        self.network, self.inputs = make_network(), make_inputs()
        self.encoded, self.most, self._alive = Counter(), 0, WeakSet()

    def __call__(self, chunk):
        self.encoded.update(chunk.tolist())
        if not torch.is_grad_enabled():
            return self.network(self.inputs[chunk])
        held = Held(len(chunk))
        self._alive.add(held)
        self.most = max(self.most, sum(other.rows for other in self._alive))
        with torch.autograd.graph.saved_tensors_hooks(lambda t: (held, t), lambda kept: kept[1]):
            return self.network(self.inputs[chunk])


@pytest.mark.parametrize("pooling", ["attention", "sum", "mean"])
def test_it_is_the_gradient_of_the_whole(pooling):
    loss_of = make_loss(pooling)
    expected = plain(loss_of)
    assert all(gradient.abs().max() > 1e-4 for gradient in expected[1])
    uneven = np.split(np.random.default_rng(3).permutation(ROWS), [1, 3, 10, 10])
    for chunks in (split(ROWS), split(8), split(7), split(5, shuffled=False), split(1), uneven):
        torch.testing.assert_close(cached(loss_of, chunks), expected, rtol=1e-6, atol=1e-12)


def test_it_adds_to_the_gradients_that_are_there():
    network = make_network()
    plain(make_loss("sum"), network)
    plain(make_loss("mean"), network)
    again = make_network()
    cached(make_loss("sum"), split(8), again)
    cached(make_loss("mean"), split(5), again)
    torch.testing.assert_close(gradients(again), gradients(network), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("count", [4, 64])
def test_memory_and_work_do_not_grow_with_the_number_of_subsets(count):
    watched = Watched()
    cached_backward(watched, split(5), ROWS, make_loss(count=count), watched.network.parameters())
    assert watched.most == 5
    assert watched.encoded == dict.fromkeys(range(ROWS), 2)


def test_graphs_that_stay_are_counted():
    """So the test above can fail."""
    watched = Watched()
    make_loss()(torch.cat([watched(chunk) for chunk in split(5, shuffled=False)])).backward()
    assert watched.most == ROWS


def test_rows_without_influence_on_the_loss_are_encoded_once():
    watched = Watched()
    chunks = split(6, shuffled=False)
    parameters = watched.network.parameters()
    cached_backward(watched, chunks, ROWS, lambda e: e[:3].square().sum(), parameters)
    assert [watched.encoded[row] for row in (0, 5, 6, 23)] == [2, 2, 1, 1]
    _, expected = plain(lambda e: e[:3].square().sum())
    torch.testing.assert_close(gradients(watched.network), expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("loss_of", "message"),
    [
        (lambda e: e.sum() / 0, "the loss is (nan|-?inf); lower the learning rate"),
        (lambda e: e.sum() + torch.nan, "the loss is nan; lower the learning rate"),
        (lambda e: (e - e.detach()).abs().sqrt().sum(), "the loss is 0, but its gradient .* NaN"),
    ],
)
def test_a_loss_or_gradient_that_is_no_number_leaves_the_parameters_alone(loss_of, message):
    network = make_network()
    with pytest.raises(LossError, match=message):
        cached(loss_of, split(8), network)
    assert gradients(network) == [None] * 5
    plain(make_loss(), network)
    before = [gradient.clone() for gradient in gradients(network)]
    with pytest.raises(LossError, match=message):
        cached(loss_of, split(8), network)
    torch.testing.assert_close(gradients(network), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    "chunks", [[], split(8)[:2], [*split(8), [3]], [[-1], *split(8)[1:]], [*split(8)[:2], [24] * 8]]
)
def test_chunks_that_are_no_partition_are_refused(chunks):
    with pytest.raises(ArgumentError, match="expected each of 24 rows in one chunk"):
        cached(make_loss(), [np.array(chunk) for chunk in chunks])


@pytest.mark.parametrize("shapes", [[(1, 6)], [(8,)], [(8, 6, 1)], [(8, 6), (8, 5)]])
def test_an_encoder_that_returns_another_shape_is_refused(shapes):
    made = iter(shapes)
    with pytest.raises(EmbeddingError, match=r"encode: expected \(8, .*, found \("):
        cached_backward(lambda _: torch.zeros(next(made)), split(8), ROWS, make_loss(), [])
