"""Weights of a language model held in fewer bits, for models that only score.

A linear layer in the transformer blocks holds its weights in groups of neighboring inputs: a weight
is minimum + code · step, with a minimum and a step (float16) for each 32 inputs of an output. Codes
have 8 bits, or 4, two to a byte: 9 or 5 bits a weight. A pass makes the weights of
one layer at a time whole, multiplies, and drops them; its backward pass makes them again. What a
pass costs beside the product is small, because passes have hundreds of tokens.

torchao has weights of 8 and 4 bits too, but the latter for GPUs alone and without gradients with
respect to inputs; once it is installed, transformers imports it in every process.
"""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

from airrep.errors import ArgumentError
from airrep.language_model.blocks import transformer_blocks
from airrep.machine.number_types import ModelDtype

BITS = {"int8": 8, "int4": 4}
GROUP = 32  # inputs that share a minimum and a step
_BYTE = 8


class QuantizedLinear(nn.Linear):
    """A linear layer that makes its weight whole when it is needed."""

    def __init__(self, layer: nn.Linear, bits: int) -> None:
        nn.Module.__init__(self)  # nn.Linear's own would make room for a whole weight
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.bias = layer.bias
        self.bits = bits
        weight = layer.weight.detach().float().view(self.out_features, -1, GROUP)
        least, most = weight.amin(-1, keepdim=True), weight.amax(-1, keepdim=True)
        # codes are chosen for the rounded minimum and step, so that they make up for the rounding
        step = ((most - least) / (2**bits - 1)).half()
        step[step == 0] = torch.finfo(torch.float16).tiny
        codes = ((weight - least.half()) / step).round_().clamp_(0, 2**bits - 1)
        codes = codes.to(torch.uint8).view(self.out_features, -1)
        if bits < _BYTE:
            codes = codes[:, ::2] | codes[:, 1::2] << bits
        self.register_buffer("codes", codes)
        self.register_buffer("least", least.half())
        self.register_buffer("step", step)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, in) to (…, out)."""
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        return _Product.apply(x, self)

    def whole(self, dtype: torch.dtype) -> torch.Tensor:
        """The weight, (out, in)."""
        codes = self.codes
        if self.bits < _BYTE:
            codes = torch.stack([codes & (2**self.bits - 1), codes >> self.bits], dim=-1)
        codes = codes.view(self.out_features, -1, GROUP)
        # in float32, because bfloat16 rounds a step more coarsely than 8 bits do a weight
        made = codes.float().mul_(self.step).add_(self.least).to(dtype)
        return made.view(self.out_features, self.in_features)


class _Product(torch.autograd.Function):
    """x Wᵀ + b, which remembers the layer for its backward pass, and not the whole weight."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: QuantizedLinear) -> torch.Tensor:  # noqa: ANN401
        ctx.layer = layer
        bias = None if layer.bias is None else layer.bias.to(x.dtype)
        return functional.linear(x, layer.whole(x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ANN401
        return gradients[0] @ ctx.layer.whole(gradients[0].dtype), None


def loaded_in(dtype: str) -> torch.dtype:
    """What weights are loaded in that are to be held in a number type.

    Raises:
        ArgumentError: Not one of `ModelDtype`.
    """
    if dtype not in get_args(ModelDtype):
        raise ArgumentError(
            f"model_dtype {dtype!r} is unknown; choose {', '.join(get_args(ModelDtype))}."
        )
    return torch.float32 if dtype == "float32" else torch.bfloat16


def hold_in(network: PreTrainedModel, dtype: str) -> None:
    """Convert a network's weights, in place.

    Args:
        network: A causal language model.
        dtype: One of `ModelDtype`.

    Raises:
        ArgumentError: It is none of them, or no layer can be held in it.
    """
    network.to(loaded_in(dtype))
    if dtype not in BITS:
        return
    found = quantizable(network)
    if not found:
        raise ArgumentError(
            f"{type(network).__name__}: no nn.Linear in its blocks has a multiple of "
            f"{GROUP} inputs, so that none can be held in {dtype}. Choose bfloat16."
        )
    for name, layer in found.items():
        network.set_submodule(name, QuantizedLinear(layer, BITS[dtype]))


def quantizable(network: PreTrainedModel) -> dict[str, nn.Linear]:
    """The layers in a network's blocks that can be quantized, by their names."""
    prefix, blocks = transformer_blocks(network)
    return {
        name: layer
        for name, layer in blocks.named_modules(prefix=prefix)
        if type(layer) is nn.Linear and layer.in_features % GROUP == 0
    }


def held_in(network: PreTrainedModel) -> str:
    """The number type of a network's weights, a name of `ModelDtype` if it has one."""
    bits = (module.bits for module in network.modules() if isinstance(module, QuantizedLinear))
    found = next(bits, None)
    return str(network.dtype).removeprefix("torch.") if found is None else f"int{found}"


def check_whole(network: PreTrainedModel, what: str) -> None:
    """Refuse a network with quantized weights where gradients of weights are needed.

    Args:
        network: A causal language model.
        what: What needs the weights; the first words of the message.

    Raises:
        ArgumentError: Some of its weights are quantized.
    """
    if held_in(network) in BITS:
        raise ArgumentError(
            f"{what} need whole weights, and the model's are held in {held_in(network)}. Load it "
            "with bfloat16 (--model-dtype bfloat16), or choose rds, gradient or gradient_cosine."
        )
