"""Two processes end up with the gradients of one."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from torch import nn

from airrep.errors import LossError
from airrep.training.cached_gradients import cached_backward
from airrep.training.objective import group_scores, pairwise_loss

ROWS, POOL = 24, 18  # the other rows are targets
SIZES = (5, 8, 24)  # rows a chunk; of the last there is one chunk for two processes

WORKER = """
    import sys
    from pathlib import Path
    import numpy as np
    sys.path.insert(0, sys.argv[2])
    from test_cached_gradients_processes import everything
    from airrep.machine.processes import processes, rank

    assert processes() == 2
    np.savez(Path(sys.argv[1]) / f"{rank()}.npz", **everything())
"""


class Network(nn.Module):
    """Of its parameters, one is used by a single row, one by none."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 4)).double()
        self.rare = nn.Parameter(torch.ones(4, dtype=torch.float64))
        self.unused = nn.Parameter(torch.ones(4, dtype=torch.float64))
        self.inputs = torch.from_numpy(np.random.default_rng(0).normal(size=(ROWS, 6)))
        self.encoded = 0

    def forward(self, chunk):
        self.encoded += len(chunk)
        states = self.layers(self.inputs[chunk])
        if 3 not in chunk:
            return states
        return states * torch.where(torch.tensor(chunk == 3)[:, None], self.rare, 1.0)


def pairwise_loss_of(pooling):
    draws = np.random.default_rng(1)
    subsets = [draws.permutation(POOL)[: 5 + 4 * (i % 2)] for i in range(8)]
    subsets.append(np.arange(POOL))
    labels = torch.from_numpy(draws.normal(size=(len(subsets), ROWS - POOL)))

    def loss_of(embeddings):
        targets, pool = embeddings[POOL:], embeddings[:POOL]
        return pairwise_loss(group_scores(targets, pool, subsets, pooling=pooling), labels)

    return loss_of


def everything():
    """Losses and gradients after one step, and after a second that adds to the first."""
    found = {}
    order = np.random.default_rng(2).permutation(ROWS)
    for size in SIZES:
        network = Network()
        chunks = [order[i : i + size] for i in range(0, ROWS, size)]
        for step, pooling in enumerate(("attention", "sum")):
            before = network.encoded
            loss = cached_backward(
                network, chunks, ROWS, pairwise_loss_of(pooling), network.parameters()
            )
            found[f"{size}.{step}.loss"] = np.array(loss)
            found[f"{size}.{step}.encoded"] = np.array(network.encoded - before)
            for name, parameter in network.named_parameters():
                if parameter.grad is not None:
                    found[f"{size}.{step}.grad.{name}"] = parameter.grad.numpy().copy()
        with pytest.raises(LossError):
            cached_backward(
                network, chunks, ROWS, lambda e: e.sum() * torch.inf, network.parameters()
            )
    return found


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(together, tmp_path):
    """As torchrun starts them; each encodes its own share of the rows."""
    together(WORKER, tmp_path, os.path.dirname(__file__))  # noqa: PTH120
    expected = everything()
    both = [dict(np.load(tmp_path / f"{number}.npz")) for number in range(2)]
    counted = {name for name in expected if name.endswith("encoded")}
    for found in both:
        assert found.keys() == expected.keys()
        for name in expected.keys() - counted:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, atol=1e-12)
    for name in expected.keys() - counted:
        assert np.array_equal(both[0][name], both[1][name]), "bit for bit between processes"
    for size, shares in zip(SIZES, [(28, 20), (32, 16), (48, 24)], strict=True):
        assert [int(found[f"{size}.0.encoded"]) for found in both] == list(shares)
        assert expected[f"{size}.0.encoded"] == 48
    assert np.abs(expected["5.0.grad.rare"]).max() > 1e-4
    assert not any(name.endswith("unused") for name in expected)
