"""LoRA: one definition of its place and first weights (Hu et al., arXiv 2106.09685)."""

from __future__ import annotations

import warnings
from hashlib import blake2b
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from airrep.errors import ArgumentError
from airrep.language_model.blocks import transformer_blocks
from airrep.machine.extras import import_extra

ALPHA_OVER_RANK = 2.0


class LoraLinear(nn.Module):
    """A frozen linear layer with a low-rank addition: x ↦ W x + 2 · B (A x)."""

    def __init__(self, layer: nn.Linear, rank: int) -> None:
        super().__init__()
        self.layer = layer
        self.down = nn.Parameter(torch.zeros(rank, layer.in_features))
        self.up = nn.Parameter(torch.zeros(layer.out_features, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, in) to (…, out)."""
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))  # once for both products
        low = ALPHA_OVER_RANK * nn.functional.linear(x, self.down)
        whole = self.layer(x)
        added = torch.addmm(whole.flatten(0, -2), low.flatten(0, -2), self.up.T)
        return added.view_as(whole)


def with_adapters(
    network: PreTrainedModel, rank: int, seed: int, *, task: str | None = None
) -> Any:  # noqa: ANN401 (PeftModel)
    """`network` with LoRA on every linear layer of the blocks: alpha = 2 · rank, no dropout.

    The layers of `network` itself are replaced, until what is returned is merged or unloaded.

    Args:
        network: Its own weights no longer require gradients.
        rank: Rank of the adapters.
        seed: Seed of their first weights.
        task: Peft's name for what the network is for.

    Raises:
        ArgumentError: peft is not installed, the rank is below 1, or there is no linear layer.
    """
    check_lora(network, rank)
    from peft import LoraConfig, get_peft_model

    name, blocks = transformer_blocks(network)
    config = LoraConfig(
        r=rank,
        lora_alpha=int(ALPHA_OVER_RANK * rank),
        lora_dropout=0.0,
        bias="none",
        target_modules=list(adapted_layers(blocks, name)),
        task_type=task,
    )
    with warnings.catch_warnings():  # peft asks by a name that transformers is about to drop
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        adapted = get_peft_model(network, config)
    for path, layer in adapted.base_model.model.named_modules():
        if hasattr(layer, "lora_A"):
            start = first_down_projection(layer.base_layer, path, rank, seed)
            with torch.no_grad():
                layer.lora_A["default"].weight.copy_(start)
    return adapted


def check_lora(network: PreTrainedModel, rank: int) -> None:
    """Refuse what `with_adapters` would refuse.

    Raises:
        ArgumentError: See there.
    """
    import_extra("peft", package="peft", extra="lora", purpose="LoRA")
    if rank < 1:
        raise ArgumentError(f"the LoRA rank is {rank}; expected at least 1.")
    name, blocks = transformer_blocks(network)
    adapted_layers(blocks, name)


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
