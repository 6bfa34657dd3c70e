"""Gradients of each example's loss, made small while they are computed.

For a linear layer y = W x, the gradient of an example's loss is Σ_t g_t x_tᵀ over its tokens, with
g the loss's gradient at y. Projecting both sides, G = Σ_t (P_out g_t) (P_in x_t)ᵀ, costs little
more than the backward pass, and no gradient of a whole weight ever exists (LoGra: Choe et al.
2024, arXiv 2405.13954; here with random projections, which need no pass over the data first).
Sketching the whole gradient costs more, and keeps inner products far better
(`airrep.gradients.reductions`).

Which layers are covered and how they are projected: `airrep.gradients.random_projections`.

Shapes: B examples, L tokens, D = Σ over layers of their features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import nn

from airrep.gradients.random_projections import Modules, projected_layers
from airrep.gradients.recorder import left_as_found, recorder
from airrep.gradients.reductions import Reduction, TwoSided
from airrep.language_model.attention import attention_by_products, by_products
from airrep.language_model.blocks import last_blocks
from airrep.language_model.model import LanguageModel
from airrep.language_model.passes import (
    autocast,
    batches,
    check_features,
    check_options,
    chosen_dtype,
    rows_of,
    tokens_once,
    weights_cast_once,
)
from airrep.language_model.token_losses import mean_token_losses
from airrep.language_model.tokens import Tokens
from airrep.records import Example


def gradient_features(
    model: LanguageModel,
    examples: Sequence[Example],
    *,
    rank: int = 16,
    layers: int | None = None,
    modules: Modules = None,
    seed: int = 0,
    tokens_per_batch: int = 4096,
    dtype: str = "auto",
    progress: bool = False,
) -> npt.NDArray[np.float32]:
    """Projected gradients of each example's mean completion-token loss, one row per example.

    Examples exactly alike get rows exactly alike, and neighbors change no bit (see
    `airrep.language_model.batching`). The network is left as it was found.

    Args:
        model: The model to be fine-tuned.
        examples: What to take the gradients of.
        rank: Rank of each side's projection.
        layers: Only the last so many transformer blocks; None takes all. Fewer cost less.
        modules: Only layers of these names; see `projected_layers`.
        seed: Seed of the projections.
        tokens_per_batch: Padded tokens at once on a GPU, where it bounds memory.
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
    chosen = projected_layers(model.network, rank=rank, layers=layers, modules=modules)
    return reduced_gradients(
        model,
        examples,
        [TwoSided.random(layer, seed, model.network.device) for layer in chosen],
        layers=layers,
        tokens_per_batch=tokens_per_batch,
        dtype=dtype,
        progress=progress,
    )


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
        reductions: One for each covered layer of the last blocks.
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
    different, which = tokens_once(model, examples)
    made = gradients_of_tokens(
        model,
        different,
        reductions,
        layers=layers,
        tokens_per_batch=tokens_per_batch,
        dtype=dtype,
        progress=progress,
    )
    features = made[which]
    check_features(features, examples, "gradients")
    return features


def gradients_of_tokens(
    model: LanguageModel,
    tokens: Sequence[Tokens],
    reductions: Sequence[Reduction],
    *,
    layers: int | None = None,
    tokens_per_batch: int = 4096,
    dtype: str = "auto",
    progress: bool = False,
) -> npt.NDArray[np.float32]:
    """The same of rows that are tokens already; gradients may be NaN or infinite.

    Args:
        model: See `reduced_gradients`; as are the other arguments.
        tokens: Tokens of the rows.
        reductions: See there.
        layers: See there.
        tokens_per_batch: See there.
        dtype: See there.
        progress: See there.

    Raises:
        ArgumentError: See there.
    """
    check_options(dtype, tokens_per_batch)
    network = model.network
    start = _lowest(last_blocks(network, layers), reductions)
    width = sum(reduction.width for reduction in reductions)
    with (
        rows_of(model, tokens, width, lambda: identity(model, reductions, dtype)) as rows,
        left_as_found(network),
        recorder(network, reductions, start) as recorded,
        weights_cast_once(model, dtype),
        attention_by_products(network, chosen_dtype(model, dtype)),
    ):
        for batch in batches(model, tokens, tokens_per_batch, "gradients" * progress, rows):
            recorded.begin(*batch.ids.shape)
            with autocast(model, dtype):
                losses = mean_token_losses(network, batch.ids, batch.mask, batch.trained)
            # without the copies, for what a reduction sums over rows
            losses[: len(batch.members)].sum().backward()
            found = recorded.features()[: len(batch.members)]
            rows.put(batch.members, found.float().cpu().numpy())
    values: npt.NDArray[np.float32] = rows.values
    return values


def identity(model: LanguageModel, reductions: Sequence[Reduction], dtype: str) -> str | None:
    """What makes the features of a row, beside the model; None if that depends on other rows."""
    parts = [reduction.identity for reduction in reductions]
    made_in = chosen_dtype(model, dtype)
    way = " by products" * by_products(model.network, made_in)
    return None if None in parts else f"gradients {made_in}{way} {' '.join(map(str, parts))}"


def _lowest(blocks: Sequence[tuple[str, nn.Module]], reductions: Sequence[Reduction]) -> nn.Module:
    """The block below which no gradient is needed."""
    covered = (
        block
        for name, block in blocks
        if any(reduction.name.startswith(f"{name}.") for reduction in reductions)
    )
    return next(covered, blocks[0][1])
