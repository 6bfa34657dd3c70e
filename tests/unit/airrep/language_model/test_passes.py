"""Losses in batches against losses one by one."""

import numpy as np
import pytest
import torch

from airrep.errors import ArgumentError
from airrep.language_model.passes import batches, tokens_once
from airrep.language_model.token_losses import mean_token_losses
from airrep.records import Example

EXAMPLES = [
    Example(str(i), "What comes next? " * (i % 4), "a word " * (1 + i % 7)) for i in range(40)
]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("tokens_per_batch", [1, 100, 4096])
def test_losses_are_those_of_each_example_alone(make_lm, plain_losses, kind, tokens_per_batch):
    model = make_lm(kind)
    different, which = tokens_once(model, EXAMPLES)
    assert (len(different), len(which)) == (28, 40)
    losses = np.full(len(different), np.nan)
    with torch.inference_mode():
        for batch in batches(model, different, tokens_per_batch):
            found = mean_token_losses(model.network, batch.ids, batch.mask, batch.trained)
            losses[batch.members] = found[: len(batch.members)]
        expected = plain_losses(model, EXAMPLES)
    np.testing.assert_allclose(losses[which], expected, rtol=1e-10)
    assert "forward" not in vars(model.network.lm_head)


def test_a_network_without_a_head_has_no_losses(make_lm):
    model = make_lm()
    different, _ = tokens_once(model, EXAMPLES[:2])
    (batch,) = batches(model, different[:1], 4096)
    with pytest.raises(ArgumentError, match="LlamaModel has no LM head"):
        mean_token_losses(model.network.model, batch.ids, batch.mask, batch.trained)
