"""The transformer blocks of a language model."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from airrep.errors import ArgumentError


def transformer_blocks(network: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """Name and list of the model's blocks, lowest first.

    Raises:
        ArgumentError: The model has no list of blocks.
    """
    wanted = network.config.get_text_config().num_hidden_layers
    found = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == wanted
    ]
    if not found:
        raise ArgumentError(
            f"{type(network).__name__}: no list of {wanted} transformer blocks was found. Train "
            "all weights, and use a scorer that needs no gradients."
        )
    # lists inside blocks, of experts for example, may be as long
    return min(found, key=lambda pair: pair[0].count("."))


def last_blocks(network: PreTrainedModel, count: int | None) -> list[tuple[str, nn.Module]]:
    """The last `count` blocks (None: all), lowest first, with their names.

    Raises:
        ArgumentError: The model has no list of blocks, or not so many.
    """
    name, blocks = transformer_blocks(network)
    if count is not None and not 1 <= count <= len(blocks):
        raise ArgumentError(
            f"layers should be 1 to {len(blocks)}, the model's blocks, found {count}."
        )
    start = 0 if count is None else len(blocks) - count
    return [(f"{name}.{i}", blocks[i]) for i in range(start, len(blocks))]
