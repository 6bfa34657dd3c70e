"""How well a language model predicts examples: the loss of each completion, in nats."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from airrep.batching import BUCKET
from airrep.errors import ArgumentError, EmbeddingError
from airrep.language_model import LanguageModel
from airrep.passes import Batch, autocast, batches, check_options, rows_of
from airrep.records import Example

Reduction = Literal["mean", "sum"]
ComputeDtype = Literal["auto", "float32", "bfloat16"]
Float64 = npt.NDArray[np.float64]
_LOGITS_AT_ONCE = 1 << 28  # 1 GiB of float32


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

    The completion's tokens are those of `LanguageModel.tokenise`, the end-of-text token included.
    A loss does not depend on order, neighbours or `tokens_per_batch`: bit for bit in float32 on the
    x86 CPU we tested. Elsewhere products of different sizes may round differently. Against the same
    row alone and unpadded, float32 losses were within 3e-6.

    Args:
        model: Its weights, and the mode of its modules, are left as they are.
        examples: Rows; none gives an empty array.
        reduction: "mean" over the completion's tokens, or their "sum" (minus the log-likelihood).
        tokens_per_batch: Padded tokens in a forward pass; a longer example goes alone.
        dtype: "bfloat16" (autocast), "float32" (that of the weights), or "auto": bfloat16 where the
            hardware has it. Softmax and sums are in float32 or better.
        progress: Show a progress bar on standard error.

    Returns:
        (n,) in the order of `examples`.

    Raises:
        ArgumentError: `reduction` or `dtype` is unknown, or `tokens_per_batch` below 1.
        RecordError: An example has no completion.
        EmbeddingError: A loss is NaN or infinite.
    """
    if reduction not in ("mean", "sum"):
        raise ArgumentError(f"reduction {reduction!r} is unknown; choose mean or sum.")
    check_options(dtype, tokens_per_batch)
    tokens = model.tokenise(examples)
    # Rows whose completions start alike share a batch, so that few positions need logits.
    order = np.argsort([each.start for each in tokens], kind="stable")
    ordered = [tokens[i] for i in order]
    title = "losses" if progress else ""
    losses = np.zeros(len(tokens))
    with (
        rows_of(model, ordered, 1, lambda: f"losses {reduction} {dtype}", np.float64) as kept,
        evaluation_mode(model.network),
        torch.inference_mode(),
        autocast(model, dtype),
    ):
        for batch in batches(model, ordered, tokens_per_batch, title, kept):
            each = [getattr(row, reduction)() for row in _token_losses(model, batch)]
            kept.put(batch.members, np.array(each)[:, None])
    losses[order] = kept.values[:, 0]
    for i in np.flatnonzero(~np.isfinite(losses))[:1].tolist():
        raise EmbeddingError(
            f"example {i} (id {examples[i].id!r}, row {examples[i].row}): expected a finite loss "
            f"under {model.name}, found {losses[i]}. Are all weights finite? If so, try "
            "dtype='float32'."
        )
    return losses


@contextmanager
def evaluation_mode(network: torch.nn.Module) -> Iterator[None]:
    """Dropout off; every module's own mode is restored at the end."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _token_losses(model: LanguageModel, batch: Batch) -> list[Float64]:
    """The losses of each row's completion tokens."""
    counted = np.zeros(tuple(batch.ids.shape), dtype=bool)
    for row, tokens in enumerate(batch.tokens):  # the logits at a position are for the next token
        counted[row, tokens.start - 1 : len(tokens.ids) - 1] = True
    keep = np.flatnonzero(counted.any(axis=0))
    if len(keep) < BUCKET:  # products of a handful of rows round differently from larger ones
        keep = np.union1d(keep, np.arange(counted.shape[1] - 1)[-BUCKET:])
    losses: list[float] = []
    step = max(1, _LOGITS_AT_ONCE // (len(keep) * len(model.tokenizer)))
    for i in range(0, len(counted), step):
        rows = slice(i, i + step)
        logits = _logits(model, batch.ids[rows], batch.mask[rows], keep)
        wanted = batch.ids[rows, 1:].cpu().numpy()[:, keep]
        chosen = torch.from_numpy(counted[rows][:, keep])
        labels = torch.from_numpy(wanted)[chosen].to(logits.device)
        found = logits[chosen.to(logits.device)]
        found = found.to(torch.promote_types(found.dtype, torch.float32))
        losses += functional.cross_entropy(found, labels, reduction="none").tolist()
    return np.split(np.array(losses), np.cumsum(counted.sum(axis=1))[:-1])


def _logits(
    model: LanguageModel, ids: torch.Tensor, mask: torch.Tensor, keep: npt.NDArray[np.int64]
) -> torch.Tensor:
    """(rows, len(keep), vocabulary): the logits at some positions."""
    positions = torch.from_numpy(keep).to(ids.device)
    accepted = inspect.signature(model.network.forward).parameters
    options = {"use_cache": False, "logits_to_keep": positions}
    options = {name: value for name, value in options.items() if name in accepted}
    logits: torch.Tensor = model.network(ids, attention_mask=mask, **options).logits
    return logits if "logits_to_keep" in options else logits[:, positions]
