"""Losses of a language model on completions of examples, in nats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from airrep.errors import ArgumentError, EmbeddingError
from airrep.language_model.model import LanguageModel
from airrep.language_model.passes import (
    autocast,
    batches,
    check_options,
    chosen_dtype,
    rows_of,
    weights_cast_once,
)
from airrep.language_model.token_losses import token_losses
from airrep.language_model.tokens import Tokens
from airrep.records import Example

Reduction = Literal["mean", "sum"]
ComputeDtype = Literal["auto", "float32", "bfloat16"]
Float64 = npt.NDArray[np.float64]
_LOGITS_AT_ONCE = 1 << 28  # of a pass on a GPU: 1 GiB of float32


def completion_losses(
    model: LanguageModel,
    examples: Sequence[Example],
    *,
    reduction: Reduction = "mean",
    tokens_per_batch: int = 8192,
    dtype: ComputeDtype = "auto",
    progress: bool = False,
) -> Float64:
    """Cross-entropy of each example's completion given its prompt, in nats.

    The completion's tokens are those of `LanguageModel.tokenize`, the end-of-text token included.
    Order and neighbors change no bit of a loss on a CPU (see `airrep.language_model.batching`).
    Against the same row alone and unpadded, float32 losses were within 3e-6.

    Args:
        model: Its weights, and the mode of its modules, are left as they are.
        examples: Rows; none gives an empty array.
        reduction: "mean" over the completion's tokens, or their "sum" (minus the log-likelihood).
        tokens_per_batch: Padded tokens at once on a GPU, where it bounds memory.
        dtype: "bfloat16" (autocast), "float32" (that of the weights), or "auto": bfloat16 where the
            hardware has it. Softmax and sums are in float32 or better.
        progress: Show a progress bar on standard error.

    Returns:
        (n,) in the order of `examples`.

    Raises:
        ArgumentError: `reduction` or `dtype` is unknown, or `tokens_per_batch` below 1.
        RecordError: An example has no completion.
        EmbeddingError: A loss is NaN or infinite.

    Example:
        >>> completion_losses(model, [Example("0", "Is it so?", "yes")]).shape
        (1,)
    """
    losses = losses_of_tokens(
        model, model.tokenize(examples), reduction, tokens_per_batch, dtype, progress=progress
    )
    for i in np.flatnonzero(~np.isfinite(losses))[:1].tolist():
        raise EmbeddingError(
            f"example {i} (id {examples[i].id!r}, row {examples[i].row}): expected a finite loss "
            f"under {model.name}, found {losses[i]}. Are all weights finite? If so, try "
            "dtype='float32'."
        )
    return losses


def losses_of_tokens(
    model: LanguageModel,
    tokens: Sequence[Tokens],
    reduction: Reduction,
    tokens_per_batch: int,
    dtype: str,
    *,
    progress: bool = False,
) -> Float64:
    """The same of rows that are tokens already; losses may be NaN or infinite.

    Args:
        model: See `completion_losses`; as are the other arguments.
        tokens: Tokens of the rows.
        reduction: See there.
        tokens_per_batch: See there.
        dtype: See there.
        progress: See there.

    Raises:
        ArgumentError: See there.
    """
    if reduction not in ("mean", "sum"):
        raise ArgumentError(f"reduction {reduction!r} is unknown; choose mean or sum.")
    check_options(dtype, tokens_per_batch)
    network, title = model.network, "losses" if progress else ""
    budget = min(tokens_per_batch, max(1, _LOGITS_AT_ONCE // len(model.tokenizer)))
    with (
        rows_of(
            model, tokens, 1, lambda: f"losses {reduction} {chosen_dtype(model, dtype)}", np.float64
        ) as kept,
        weights_cast_once(model, dtype),
        evaluation_mode(network),
        torch.inference_mode(),
        weights_cast_once(model, dtype),
        autocast(model, dtype),
    ):
        for batch in batches(model, tokens, budget, title, kept):
            each = token_losses(network, batch.ids, batch.mask, batch.trained)
            reduced = [getattr(row.double(), reduction)().item() for row in each]
            kept.put(batch.members, np.array(reduced[: len(batch.members)])[:, None])
    return kept.values[:, 0]


@contextmanager
def evaluation_mode(network: torch.nn.Module) -> Iterator[None]:
    """Dropout off; every module's own mode is restored at the end.

    Example:
        >>> with evaluation_mode(model.network):
        ...     model.network.training
        False
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
