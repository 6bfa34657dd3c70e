"""Each example's gradients, layer by layer, caught and reduced during one backward pass.

Shapes: B examples, L tokens, D = Σ over layers of their features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from airrep.console.wording import counted
from airrep.errors import ArgumentError
from airrep.gradients.reductions import Reduction


class Recorder:
    """Adds up each example's reduced gradients, layer by layer, during one batch."""

    def __init__(self, reductions: Sequence[Reduction], device: torch.device) -> None:
        self._reductions, self._device = reductions, device
        self._shape = (0, 0)
        self._sums: list[torch.Tensor | None] = []

    def begin(self, examples: int, tokens: int) -> None:
        """Forget the batch before; the next has so many examples of so many padded tokens."""
        self._shape = (examples, tokens)
        self._sums = [None] * len(self._reductions)

    def hook(self, number: int) -> Callable[[nn.Module, tuple[Any, ...], torch.Tensor], None]:
        """A forward hook that reduces the gradient when that of the output is known.

        A layer that is used twice in one pass adds up, as its gradient does.
        """
        reduction = self._reductions[number]

        def forward(module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
            with torch.no_grad(), torch.autocast(output.device.type, enabled=False):
                seen = self._by_token(number, 1, inputs[0]).to(output.dtype)  # as autocast does
                kept = reduction.keep(seen)

            def backward(gradient: torch.Tensor) -> None:
                with torch.no_grad(), torch.autocast(gradient.device.type, enabled=False):
                    made = reduction.reduce(kept, self._by_token(number, 0, gradient))
                known = self._sums[number]
                self._sums[number] = made if known is None else known + made

            output.register_hook(backward)

        return forward

    def features(self) -> torch.Tensor:
        """(B, D); a layer that the loss does not depend on has gradient 0."""
        return torch.cat(
            [
                torch.zeros(self._shape[0], reduction.width, device=self._device)
                if found is None
                else found.to(self._device)
                for found, reduction in zip(self._sums, self._reductions, strict=True)
            ],
            dim=1,
        )

    def _by_token(self, number: int, side: int, values: torch.Tensor) -> torch.Tensor:
        """(B, L, size)."""
        reduction = self._reductions[number]
        examples, tokens = self._shape
        if values.numel() != examples * tokens * reduction.sizes[side]:
            raise ArgumentError(
                f"{reduction.name}: it sees {tuple(values.shape)} for "
                f"{counted(examples, 'example')} of {tokens} tokens, so that gradients cannot be "
                "told apart by example (a mixture of experts?)."
            )
        return values.detach().reshape(examples, tokens, reduction.sizes[side])


@contextmanager
def recorder(
    network: PreTrainedModel, reductions: Sequence[Reduction], start: nn.Module
) -> Iterator[Recorder]:
    """A recorder on the layers; autograd begins at the input of `start`, not at any weight."""

    def begin(
        module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if inputs:
            return (inputs[0].detach().requires_grad_(), *inputs[1:]), named
        states = named["hidden_states"].detach().requires_grad_()
        return inputs, {**named, "hidden_states": states}

    found = Recorder(reductions, network.device)
    with ExitStack() as hooks, torch.inference_mode(False), torch.enable_grad():
        hooks.callback(start.register_forward_pre_hook(begin, with_kwargs=True).remove)
        for number, reduction in enumerate(reductions):
            layer = network.get_submodule(reduction.name)
            hooks.callback(layer.register_forward_hook(found.hook(number)).remove)
        yield found


@contextmanager
def left_as_found(network: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode, and weights that take no gradients; both undone afterwards."""
    flags = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.requires_grad_(False).eval()
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
        for module, mode in modes:
            module.training = mode


@contextmanager
def gradients_of(network: PreTrainedModel, weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """Evaluation mode, and autograd for these weights alone; undone afterwards."""
    with left_as_found(network), torch.inference_mode(False), torch.enable_grad():
        for weight in weights:
            weight.requires_grad_(True)
        yield
