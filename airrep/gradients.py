"""Gradients of each example's loss, projected while they are computed.

For a linear layer y = W x, the gradient of an example's loss is Σ_t g_t x_tᵀ over its tokens, with
g the loss's gradient at y. Projecting both sides, G = Σ_t (P_out g_t) (P_in x_t)ᵀ, costs little
more than the backward pass, and no gradient of a whole weight ever exists (LoGra: Choe et al.
2024, arXiv 2405.13954; here with random projections, which need no pass over the data first).

Which layers are covered and how they are projected: `airrep.projections`.

Shapes: B examples, L tokens, D = Σ over layers of rank_out · rank_in.
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
from airrep.projections import ProjectedLayer, projected_layers
from airrep.records import Example


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
    check_options(dtype, tokens_per_batch)
    network = model.network
    chosen = projected_layers(network, rank=rank, layers=layers)
    start = last_blocks(network, layers)[0][1]
    different, which = tokens_once(model, examples)
    features = np.zeros((len(different), sum(layer.width for layer in chosen)), dtype=np.float32)
    with _left_as_found(network), _recorder(network, chosen, start, seed) as recorder:
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
    """Sums Σ_t (P_out g_t) (P_in x_t)ᵀ of each example, layer by layer, during one batch."""

    def __init__(self, layers: Sequence[ProjectedLayer], seed: int, device: torch.device) -> None:
        self._layers = layers
        self._projections = [
            [None if p is None else torch.from_numpy(p).to(device, torch.float32) for p in pair]
            for pair in (layer.projections(seed) for layer in layers)
        ]
        self._device = device
        self._shape = (0, 0)
        self._sums: list[torch.Tensor | None] = []

    def begin(self, examples: int, tokens: int) -> None:
        self._shape = (examples, tokens)
        self._sums = [None] * len(self._layers)

    def hook(self, number: int) -> Callable[[nn.Module, tuple[Any, ...], torch.Tensor], None]:
        """A forward hook that projects the input now and the output's gradient when it is known.

        A layer that is used twice in one pass adds up, as its gradient does.
        """

        def forward(module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
            x = self._project(number, 1, inputs[0])

            def backward(gradient: torch.Tensor) -> None:
                g = self._project(number, 0, gradient)
                product = g.mT.to(x.dtype) @ x  # (B, rank_out, rank_in)
                known = self._sums[number]
                self._sums[number] = product if known is None else known + product

            output.register_hook(backward)

        return forward

    def features(self) -> torch.Tensor:
        """(B, D); a layer that the loss does not depend on has gradient 0."""
        return torch.cat(
            [
                torch.zeros(self._shape[0], layer.width, device=self._device)
                if found is None
                else found.flatten(1)
                for found, layer in zip(self._sums, self._layers, strict=True)
            ],
            dim=1,
        )

    def _project(self, number: int, side: int, values: torch.Tensor) -> torch.Tensor:
        """(B, L, size) to (B, L, rank), in float32 or better."""
        layer, matrix = self._layers[number], self._projections[number][side]
        examples, tokens = self._shape
        if values.numel() != examples * tokens * layer.sizes[side]:
            raise ArgumentError(
                f"{layer.name}: it sees {tuple(values.shape)} for {examples} examples of {tokens} "
                "tokens, so that gradients cannot be told apart by example (a mixture of experts?)."
            )
        with torch.no_grad(), torch.autocast(values.device.type, enabled=False):
            wide = values.detach().reshape(examples, tokens, layer.sizes[side])
            wide = wide.to(torch.promote_types(wide.dtype, torch.float32))
            return wide if matrix is None else wide @ matrix.T.to(wide)


@contextmanager
def _recorder(
    network: PreTrainedModel, layers: Sequence[ProjectedLayer], start: nn.Module, seed: int
) -> Iterator[_Recorder]:
    """A recorder on the layers; autograd begins at the input of `start`, not at any weight."""

    def begin(
        module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if inputs:
            return (inputs[0].detach().requires_grad_(), *inputs[1:]), named
        states = named["hidden_states"].detach().requires_grad_()
        return inputs, {**named, "hidden_states": states}

    recorder = _Recorder(layers, seed, network.device)
    with ExitStack() as hooks, torch.inference_mode(False), torch.enable_grad():
        hooks.callback(start.register_forward_pre_hook(begin, with_kwargs=True).remove)
        for number, layer in enumerate(layers):
            handle = network.get_submodule(layer.name).register_forward_hook(recorder.hook(number))
            hooks.callback(handle.remove)
        yield recorder


@contextmanager
def _left_as_found(network: PreTrainedModel) -> Iterator[None]:
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
