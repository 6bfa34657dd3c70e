import pytest
import torch

from airrep.errors import ArgumentError
from airrep.language_model.blocks import last_blocks, transformer_blocks


@pytest.mark.parametrize(("kind", "name"), [("llama", "model.layers"), ("gpt2", "transformer.h")])
def test_where_blocks_are(kind, name, make_lm):
    network = make_lm(kind).network
    found, blocks = transformer_blocks(network)
    assert found == name
    assert blocks is network.get_submodule(name)
    assert [path for path, _ in last_blocks(network, None)] == [f"{name}.0", f"{name}.1"]
    assert last_blocks(network, 1) == [(f"{name}.1", blocks[1])]


def test_lists_inside_blocks_are_not_it(make_lm):
    network = make_lm().network
    for block in network.model.layers:
        block.experts = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)])
    network.model.layers[0]._modules.update(reversed(network.model.layers[0]._modules.items()))
    assert transformer_blocks(network)[0] == "model.layers"


@pytest.mark.parametrize("count", [0, 3, -1])
def test_more_than_there_are(count, make_lm):
    with pytest.raises(ArgumentError, match=f"1 to 2, the model's blocks, found {count}"):
        last_blocks(make_lm().network, count)


def test_none_at_all(make_lm):
    network = make_lm().network
    network.model.layers = torch.nn.ModuleList()
    with pytest.raises(ArgumentError, match="LlamaForCausalLM: no list of 2 transformer blocks"):
        transformer_blocks(network)
