"""Where a language model keeps its transformer blocks."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from airrep.errors import CheckpointError


def transformer_blocks(network: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """Name and list of the model's blocks, lowest first.

    Raises:
        CheckpointError: The model has no single list of blocks.
    """
    wanted = network.config.num_hidden_layers
    found = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == wanted
    ]
    if not found:
        raise CheckpointError(
            f"{type(network).__name__}: no list of {wanted} transformer blocks was found; only "
            "training of all weights is supported for this model."
        )
    return min(found, key=lambda pair: pair[0].count("."))
