"""Examples through a causal language model, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from airrep.batching import pad, plan_batches
from airrep.errors import ArgumentError, EmbeddingError
from airrep.hardware import fastest_dtype
from airrep.language_model import LanguageModel, Tokens
from airrep.records import Example

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples of one padded length.

    Attributes:
        members: (B,) their positions among the tokens given.
        tokens: Their tokens.
        ids: (B, L) padded on the right, on the model's device.
        mask: (B, L) 1 where there is a token.
    """

    members: npt.NDArray[np.int64]
    tokens: list[Tokens]
    ids: torch.Tensor
    mask: torch.Tensor


def check_options(dtype: str, tokens_per_batch: int) -> None:
    """Refuse what no pass can be made with.

    Raises:
        ArgumentError: `dtype` is unknown, or no token fits a batch.
    """
    if dtype not in ("auto", *_DTYPES):
        raise ArgumentError(f"dtype {dtype!r} is unknown; choose auto, float32 or bfloat16.")
    if tokens_per_batch < 1:
        raise ArgumentError(f"tokens_per_batch should be >= 1, found {tokens_per_batch}.")


def autocast(model: LanguageModel, dtype: str) -> torch.autocast:
    """Where the model's own arithmetic happens: bfloat16, or ("float32") that of its weights."""
    device = model.network.device
    chosen = fastest_dtype(device) if dtype == "auto" else _DTYPES[dtype]
    narrow = chosen is torch.bfloat16
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=narrow)


def tokens_once(
    model: LanguageModel, examples: Sequence[Example]
) -> tuple[list[Tokens], npt.NDArray[np.int64]]:
    """Every different example's tokens, and which of them each example has.

    Computing on these, examples that are exactly alike get results that are exactly alike.
    """
    places: dict[tuple[int, ...], int] = {}
    different: list[Tokens] = []
    which = np.zeros(len(examples), dtype=np.int64)
    for i, tokens in enumerate(model.tokenise(examples)):
        which[i] = places.setdefault((tokens.start, *tokens.ids), len(different))
        if which[i] == len(different):
            different.append(tokens)
    return different, which


def batches(
    model: LanguageModel, tokens: Sequence[Tokens], tokens_per_batch: int, progress: str = ""
) -> Iterator[Batch]:
    """Batches of one padded length each (see `airrep.batching`), with a bar if it has a name."""
    plan = plan_batches([len(t.ids) for t in tokens], tokens_per_batch, model.format.max_tokens)
    pad_id, device = int(model.tokenizer.pad_token_id), model.network.device
    with tqdm(total=len(tokens), desc=progress, unit="row", disable=not progress) as bar:
        for length, members in plan:
            chosen = [tokens[i] for i in members]
            ids, mask = pad([t.ids for t in chosen], length, pad_id)
            yield Batch(members, chosen, ids.to(device), mask.to(device))
            bar.update(len(members))


def completion_losses(network: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Each example's mean loss over its completion tokens, (B,), differentiable.

    Logits exist only where a completion token is predicted: a hook hands the LM head those
    positions alone, and whatever the network does to logits afterwards still happens.

    Raises:
        ArgumentError: The network has no LM head.
    """
    spans = [np.arange(tokens.start - 1, len(tokens.ids) - 1) for tokens in batch.tokens]
    counts = [len(span) for span in spans]
    rows = torch.from_numpy(np.repeat(np.arange(len(spans)), counts)).to(batch.ids.device)
    columns = torch.from_numpy(np.concatenate(spans)).to(batch.ids.device)
    head = network.get_output_embeddings()
    if head is None:
        raise ArgumentError(f"{type(network).__name__} has no LM head, so its losses are unknown.")
    hook = head.register_forward_pre_hook(lambda _, inputs: (inputs[0][rows, columns],))
    try:
        logits = network(batch.ids, attention_mask=batch.mask, use_cache=False).logits
    finally:
        hook.remove()
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # (tokens, vocabulary)
    wanted = batch.ids[rows, columns + 1]
    losses = functional.cross_entropy(logits, wanted, reduction="none")
    return torch.stack([part.mean() for part in losses.split(counts)])


def check_features(
    features: npt.NDArray[np.float32], examples: Sequence[Example], what: str
) -> None:
    """Refuse NaN and infinity, and name the example they come from.

    Raises:
        EmbeddingError: Some example's features are broken.
    """
    broken = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if broken.size:
        first = examples[broken[0]]
        raise EmbeddingError(
            f"{what}: NaN or infinity for {broken.size} of {len(examples)} examples, the first is "
            f"{first.id!r} (row {first.row}). If it is all of them, the model's weights are broken."
        )
