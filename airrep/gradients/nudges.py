"""A model moved along a direction of its weights, and what losses of examples become of it.

The direction is the step that Adam would take for some examples: their gradient over the root of
the second moments (`airrep.gradients.moments`). The network's own tensors are never written to:
its weights are exchanged for others, and put back when the work ends, however it ends. So they are
the same bits afterwards, and the price is one more copy of the weights that move.

The weights that move are those of `airrep.gradients.random_projections.projected_layers`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from airrep.disk.digests import content_digest
from airrep.errors import ArgumentError, EmbeddingError
from airrep.gradients.moments import adam_metric, batch_gradients, token_shares
from airrep.gradients.recorder import gradients_of, left_as_found
from airrep.language_model.losses import losses_of_tokens
from airrep.language_model.model import LanguageModel
from airrep.language_model.passes import Batch, autocast, batches, chosen_dtype, rows_of
from airrep.language_model.token_losses import token_losses
from airrep.language_model.tokens import Tokens

Float64 = npt.NDArray[np.float64]
Direction = dict[str, torch.Tensor]  # name of a weight to its change, of its shape


def adam_direction(
    model: LanguageModel,
    tokens: Sequence[Tokens],
    moments: Mapping[str, torch.Tensor],
    *,
    tokens_per_batch: int = 4096,
    dtype: str = "float32",
) -> Direction:
    """What Adam's metric makes of the gradient of examples' mean loss, scaled to an rms of 1.

    Moving the weights against it lowers the mean, over the examples, of the mean loss of their
    completion tokens. A gradient of zeros gives a direction of zeros.

    Args:
        model: The model.
        tokens: Tokens of the examples.
        moments: From `second_moments`.
        tokens_per_batch: Padded tokens at once; bounds memory.
        dtype: See `second_moments`.

    Raises:
        EmbeddingError: The gradient is NaN or infinite.
    """
    layers = [model.network.get_submodule(name) for name in moments]
    weights = [layer.weight for layer in layers]
    shares = [1 / len(tokens)] * len(tokens)
    with gradients_of(model.network, weights):
        found = batch_gradients(model, tokens, weights, shares, tokens_per_batch, dtype)
    squares, count = 0.0, sum(gradient.numel() for gradient in found)
    for gradient, layer, moment in zip(found, layers, moments.values(), strict=True):
        metric = adam_metric(moment.T if isinstance(layer, Conv1D) else moment)
        gradient *= metric.square_().to(gradient.device)
        squares += float(gradient.double().square().sum())
    if not np.isfinite(squares):
        raise EmbeddingError(
            f"{model.name}: the gradient of {len(tokens)} target(s) is NaN or infinite. Are all "
            "weights finite? If so, try dtype='float32'."
        )
    for gradient in found:
        gradient /= (squares / count) ** 0.5 or 1.0
    return {f"{name}.weight": gradient for name, gradient in zip(moments, found, strict=True)}


def summed_losses(
    model: LanguageModel,
    tokens: Sequence[Tokens],
    direction: Direction,
    by: float,
    *,
    tokens_per_batch: int = 4096,
    dtype: str = "float32",
    progress: bool = False,
) -> Float64:
    """(n,) losses of completions, summed over tokens, after the weights moved by -`by` · direction.

    Args:
        model: Its weights are the same bits afterwards.
        tokens: Tokens of the rows.
        direction: From `adam_direction`; an empty one leaves the weights where they are.
        by: How far to move against it.
        tokens_per_batch: Padded tokens at once on a GPU, where it bounds memory.
        dtype: See `airrep.language_model.losses.completion_losses`.
        progress: Show a progress bar on standard error.
    """
    weights = {name: model.network.get_parameter(name) for name in direction}
    with kept(weights.values()):
        for name, weight in weights.items():
            weight.data = torch.sub(weight.data, direction[name].to(weight.dtype), alpha=by)
        moved = replace(model)  # its fingerprint is that of the weights as they are now
        return losses_of_tokens(moved, tokens, "sum", tokens_per_batch, dtype, progress=progress)


def slopes(
    model: LanguageModel,
    tokens: Sequence[Tokens],
    direction: Direction,
    *,
    tokens_per_batch: int = 4096,
    dtype: str = "float32",
    progress: bool = False,
) -> Float64:
    """(n,) how fast summed losses fall against the direction, by forward-mode differentiation.

    Fused attention has no forward derivative, so that the network attends by its "eager" code here.

    Args:
        model: See `summed_losses`; as are the other arguments.
        tokens: See there.
        direction: See there.
        tokens_per_batch: See there.
        dtype: See there.
        progress: See there.

    Raises:
        ArgumentError: Something in the network has no forward derivative.
    """

    def what() -> str:
        changes = (each.cpu().contiguous().numpy().tobytes() for each in direction.values())
        return f"slopes {chosen_dtype(model, dtype)} {content_digest(*changes)}"

    with (
        rows_of(model, tokens, 1, what, np.float64) as rows,
        _falls_against(model, direction, dtype) as falls,
    ):
        for batch in batches(model, tokens, tokens_per_batch, "slopes" * progress, rows):
            found = torch.stack([each.sum() for each in falls(batch)[: len(batch.members)]])
            rows.put(batch.members, found[:, None].cpu().numpy())
    return rows.values[:, 0]


def token_slopes(
    model: LanguageModel, tokens: Tokens, direction: Direction, *, dtype: str = "float32"
) -> Float64:
    """(c,) how fast the loss of each of a row's c completion tokens falls against the direction.

    Their sum is the row's slope (`slopes`).

    Args:
        model: See `slopes`.
        tokens: Tokens of the row.
        direction: See there.
        dtype: See there.

    Raises:
        ArgumentError: See there.
    """
    with _falls_against(model, direction, dtype) as falls:
        (batch,) = batches(model, [tokens], len(tokens.ids))
        found: Float64 = falls(batch)[0].cpu().numpy()
    return found


@contextmanager
def _falls_against(
    model: LanguageModel, direction: Direction, dtype: str
) -> Iterator[Callable[[Batch], tuple[torch.Tensor, ...]]]:
    """A function of batches: for each row, how fast its tokens' losses fall against a direction."""
    network = model.network
    losses = _TokenLosses(network)
    weights = {f"network.{name}": network.get_parameter(name).detach() for name in direction}
    tangents = {f"network.{name}": -change.to(network.dtype) for name, change in direction.items()}

    def falls(batch: Batch) -> tuple[torch.Tensor, ...]:
        given = batch.ids, batch.mask, batch.trained

        def losses_at(moved: Direction) -> tuple[torch.Tensor, ...]:
            with autocast(model, dtype):
                return torch.func.functional_call(losses, moved, given)

        try:
            _, found = torch.func.jvp(losses_at, (weights,), (tangents,))
        except RuntimeError as error:  # of which NotImplementedError is one
            if not any(each in str(error) for each in ("forward", "functorch")):
                raise  # it is of something else
            raise ArgumentError(
                f"{type(network).__name__} has no forward derivative ({error}). The scorer nudge "
                "does without by central or forward differences; shares of tokens do not."
            ) from error
        return tuple(-each for each in found)

    with (
        left_as_found(network),
        _eager_attention(network),
        torch.no_grad(),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "`torch.jit.script`", DeprecationWarning)  # torch's own
        yield falls


@contextmanager
def warmed_up(
    model: LanguageModel,
    tokens: Sequence[Tokens],
    layers: Sequence[str],
    *,
    steps: int,
    learning_rate: float,
    batch_size: int = 20,
    seed: int = 0,
    tokens_per_batch: int = 4096,
    dtype: str = "float32",
) -> Iterator[LanguageModel]:
    """The model after a few steps of Adam on random rows, as it is in here alone.

    Args:
        model: Its weights are the same bits afterwards.
        tokens: Tokens of the rows that it may learn from.
        layers: Names of the layers whose weights learn.
        steps: Steps, of `batch_size` rows each; none of them leaves the model as it is.
        learning_rate: The same at each step.
        batch_size: Rows of a step; all of them where there are fewer.
        seed: Seed of the draws.
        tokens_per_batch: Padded tokens at once; bounds memory.
        dtype: See `second_moments`.
    """
    if not steps:
        yield model
        return
    weights = [model.network.get_parameter(f"{name}.weight") for name in layers]
    rng, size = np.random.default_rng(seed), min(batch_size, len(tokens))
    with kept(weights):
        for weight in weights:
            weight.data = weight.data.clone()
        optimizer = torch.optim.Adam(weights, lr=learning_rate)
        with gradients_of(model.network, weights):
            for _ in range(steps):
                drawn = [tokens[i] for i in rng.choice(len(tokens), size, replace=False)]
                shares = token_shares(drawn)
                found = batch_gradients(model, drawn, weights, shares, tokens_per_batch, dtype)
                for weight, gradient in zip(weights, found, strict=True):
                    weight.grad = gradient.to(weight.dtype)
                optimizer.step()
        yield replace(model)


@contextmanager
def kept(weights: Iterable[nn.Parameter]) -> Iterator[None]:
    """Whatever the weights are exchanged for in here, they and their gradients come back."""
    found = [(weight, weight.data, weight.grad) for weight in weights]

    def put_back() -> None:
        for weight, data, gradient in found:
            weight.data, weight.grad = data, gradient

    try:
        try:
            yield
        finally:
            put_back()
    finally:
        put_back()  # once more: Ctrl-C may have come during the first


class _TokenLosses(nn.Module):
    """Losses of the completion tokens of each of B rows, in float64."""

    def __init__(self, network: PreTrainedModel) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, ids: torch.Tensor, mask: torch.Tensor, trained: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        found = token_losses(self.network, ids, mask, trained)
        return tuple(losses.double() for losses in found)


@contextmanager
def _eager_attention(network: PreTrainedModel) -> Iterator[None]:
    usual = network.config._attn_implementation
    try:
        network.set_attn_implementation("eager")
        yield
    finally:
        network.set_attn_implementation(usual)
