"""LoRA's place and first weights: one definition for every runner (Hu et al., arXiv 2106.09685)."""

from __future__ import annotations

from hashlib import blake2b

import torch
from torch import nn

from airrep.errors import ArgumentError

ALPHA_OVER_RANK = 2.0


def adapted_layers(blocks: nn.ModuleList, prefix: str) -> dict[str, nn.Linear]:
    """The linear layers inside the transformer blocks, by their name in the whole model.

    Raises:
        ArgumentError: There is none (GPT-2's Conv1D is not one).
    """
    found = {
        f"{prefix}.{name}": layer
        for name, layer in blocks.named_modules()
        if isinstance(layer, nn.Linear)
    }
    if not found:
        raise ArgumentError(
            f"no nn.Linear in {prefix}, for LoRA to adapt; train all weights of this model."
        )
    return found


def first_down_projection(layer: nn.Linear, name: str, rank: int, seed: int) -> torch.Tensor:
    """A of W + 2·B·A, (rank, in): uniform as nn.Linear's own start; B starts at zero.

    Depends on the seed and the layer's name alone, so that runners agree.
    """
    digest = blake2b(f"{seed} {name}".encode(), digest_size=7).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest))
    bound = layer.in_features**-0.5
    return torch.empty(rank, layer.in_features).uniform_(-bound, bound, generator=generator)
