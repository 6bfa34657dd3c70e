"""Gradients of each example's loss, made small while they are computed.

For a linear layer y = W x, the gradient of an example's loss is Σ_t g_t x_tᵀ over its tokens, with
g the loss's gradient at y. Projecting both sides, G = Σ_t (P_out g_t) (P_in x_t)ᵀ, costs little
more than the backward pass, and no gradient of a whole weight ever exists (LoGra: Choe et al.
2024, arXiv 2405.13954; here with random projections, which need no pass over the data first).
Sketching the whole gradient costs more, and keeps inner products far better (`airrep.reductions`).

Which layers are covered and how they are projected: `airrep.projections`.

Shapes: B examples, L tokens, D = Σ over layers of their features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import PreTrainedModel

from airrep.blocks import last_blocks
from airrep.errors import ArgumentError
from airrep.language_model import LanguageModel
from airrep.passes import (
    autocast,
    batches,
    check_features,
    check_options,
    completion_losses,
    tokens_once,
)
from airrep.projections import projected_layers
from airrep.records import Example
from airrep.reductions import Reduction, TwoSided


def gradient_features(
    model: LanguageModel,
    examples: Sequence[Example],
    *,
    rank: int = 16,
    layers: int | None = None,
    seed: int = 0,
    tokens_per_batch: int = 4096,
    dtype: str = "auto",
    progress: bool = False,
) -> npt.NDArray[np.float32]:
    """Projected gradients of each example's mean completion-token loss, one row per example.

    Examples exactly alike get rows exactly alike. In float32, batch size and neighbours change a
    row by about 1e-6 of its length. The network is left as it was found.

    Args:
        model: The model to be fine-tuned.
        examples: What to take the gradients of.
        rank: Of each side's projection.
        layers: Only the last so many transformer blocks; None takes all. Fewer cost less.
        seed: Of the projections.
        tokens_per_batch: Padded tokens at once; bounds memory.
        dtype: "float32" (more exactly, that of the weights), "bfloat16" (autocast), or "auto":
            bfloat16 where the hardware has it. Features are accumulated in float32 all the same.
        progress: Show a progress bar on standard error.

    Returns:
        (len(examples), D), layer after layer as in `projected_layers`, each row-major.

    Raises:
        ArgumentError: An argument is out of range, or the network has no layer to look at.
        RecordError: An example has no completion.
        EmbeddingError: A gradient is NaN or infinite.
    """
    chosen = projected_layers(model.network, rank=rank, layers=layers)
    return reduced_gradients(
        model, examples, [TwoSided(layer, seed, model.network.device) for layer in chosen],
        layers=layers, tokens_per_batch=tokens_per_batch, dtype=dtype, progress=progress,
    )  # fmt: skip


def reduced_gradients(
    model: LanguageModel,
    examples: Sequence[Example],
    reductions: Sequence[Reduction],
    *,
    layers: int | None = None,
    tokens_per_batch: int = 4096,
    dtype: str = "auto",
    progress: bool = False,
) -> npt.NDArray[np.float32]:
    """Gradients of each example's mean completion-token loss, however they are made small.

    Args:
        model: See `gradient_features`; as are the other arguments.
        examples: What to take the gradients of.
        reductions: Of the layers of the last blocks that are looked at.
        layers: How many of these blocks there are; None for all.
        tokens_per_batch: See `gradient_features`.
        dtype: See `gradient_features`.
        progress: See `gradient_features`.

    Returns:
        (len(examples), D), reduction after reduction.

    Raises:
        ArgumentError: An argument is out of range.
        RecordError: An example has no completion.
        EmbeddingError: A gradient is NaN or infinite.
    """
    check_options(dtype, tokens_per_batch)
    network = model.network
    start = last_blocks(network, layers)[0][1]
    different, which = tokens_once(model, examples)
    width = sum(reduction.width for reduction in reductions)
    features = np.zeros((len(different), width), dtype=np.float32)
    with left_as_found(network), _recorder(network, reductions, start) as recorder:
        for batch in batches(model, different, tokens_per_batch, "gradients" * progress):
            recorder.begin(*batch.ids.shape)
            with autocast(model, dtype):
                losses = completion_losses(network, batch)
            losses.sum().backward()
            features[batch.members] = recorder.features().float().cpu().numpy()
    features = features[which]
    check_features(features, examples, "gradients")
    return features


class _Recorder:
    """Adds up each example's reduced gradients, layer by layer, during one batch."""

    def __init__(self, reductions: Sequence[Reduction], device: torch.device) -> None:
        self._reductions, self._device = reductions, device
        self._shape = (0, 0)
        self._sums: list[torch.Tensor | None] = []

    def begin(self, examples: int, tokens: int) -> None:
        self._shape = (examples, tokens)
        self._sums = [None] * len(self._reductions)

    def hook(self, number: int) -> Callable[[nn.Module, tuple[Any, ...], torch.Tensor], None]:
        """A forward hook that reduces the gradient when that of the output is known.

        A layer that is used twice in one pass adds up, as its gradient does.
        """
        reduction = self._reductions[number]

        def forward(module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
            with torch.no_grad(), torch.autocast(output.device.type, enabled=False):
                kept = reduction.keep(self._by_token(number, 1, inputs[0]))

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
                else found
                for found, reduction in zip(self._sums, self._reductions, strict=True)
            ],
            dim=1,
        )

    def _by_token(self, number: int, side: int, values: torch.Tensor) -> torch.Tensor:
        """(B, L, size), in float32 or better."""
        reduction = self._reductions[number]
        examples, tokens = self._shape
        if values.numel() != examples * tokens * reduction.sizes[side]:
            raise ArgumentError(
                f"{reduction.name}: it sees {tuple(values.shape)} for {examples} examples of "
                f"{tokens} tokens, so that gradients cannot be told apart by example (a mixture of "
                "experts?)."
            )
        wide = values.detach().reshape(examples, tokens, reduction.sizes[side])
        return wide.to(torch.promote_types(wide.dtype, torch.float32))


@contextmanager
def _recorder(
    network: PreTrainedModel, reductions: Sequence[Reduction], start: nn.Module
) -> Iterator[_Recorder]:
    """A recorder on the layers; autograd begins at the input of `start`, not at any weight."""

    def begin(
        module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if inputs:
            return (inputs[0].detach().requires_grad_(), *inputs[1:]), named
        states = named["hidden_states"].detach().requires_grad_()
        return inputs, {**named, "hidden_states": states}

    recorder = _Recorder(reductions, network.device)
    with ExitStack() as hooks, torch.inference_mode(False), torch.enable_grad():
        hooks.callback(start.register_forward_pre_hook(begin, with_kwargs=True).remove)
        for number, reduction in enumerate(reductions):
            layer = network.get_submodule(reduction.name)
            hooks.callback(layer.register_forward_hook(recorder.hook(number)).remove)
        yield recorder


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
