"""Examples as the last hidden states of the language model that reads them (RDS+).

Follows Ivison et al. 2025 (arXiv 2503.01807) and their code (hamishivi/
automated-instruction-selection, `compute_influence_cosinesim.py`, `--pooling weighted_mean`): the
last of the model's `hidden_states`, which is after the final norm; weight i / Σ i for the i-th
token of the whole text, prompt and completion, i from 1 (after SGPT, arXiv 2202.08904);
L2-normalized.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from airrep.errors import ArgumentError
from airrep.language_model.model import LanguageModel
from airrep.language_model.passes import (
    Batch,
    autocast,
    batches,
    check_features,
    check_options,
    chosen_dtype,
    rows_of,
    tokens_once,
    weights_cast_once,
)
from airrep.records import Example

Span = Literal["all", "completion"]


def hidden_state_features(
    model: LanguageModel,
    examples: Sequence[Example],
    *,
    tokens: Span = "all",
    tokens_per_batch: int = 4096,
    dtype: str = "auto",
    progress: bool = False,
) -> npt.NDArray[np.float32]:
    """Pooled last hidden states of each example's text, of length 1.

    Examples exactly alike get rows exactly alike, and neighbors change no bit (see
    `airrep.language_model.batching`).

    Args:
        model: The model to be fine-tuned.
        examples: What to read.
        tokens: "all", weighted by position (RDS+), or "completion", the plain mean over its tokens.
        tokens_per_batch: Padded tokens at once on a GPU, where it bounds memory.
        dtype: "float32" (more exactly, that of the weights), "bfloat16" (autocast), or "auto":
            bfloat16 where the hardware has it.
        progress: Show a progress bar on standard error.

    Returns:
        (len(examples), hidden size).

    Raises:
        ArgumentError: An argument is out of range or unknown.
        RecordError: An example has no completion.
        EmbeddingError: A hidden state is NaN or infinite.
    """
    check_options(dtype, tokens_per_batch)
    check_span(tokens)
    different, which = tokens_once(model, examples)
    size = model.network.config.get_text_config().hidden_size
    body = model.network.base_model
    exact = torch.autocast(model.network.device.type, enabled=False)
    with (
        rows_of(
            model, different, size, lambda: f"hidden states {tokens} {chosen_dtype(model, dtype)}"
        ) as rows,
        torch.inference_mode(),
        weights_cast_once(model, dtype),
        autocast(model, dtype),
    ):
        title = "hidden states" * progress
        for batch in batches(model, different, tokens_per_batch, title, rows):
            states = body(batch.ids, attention_mask=batch.mask, use_cache=False).last_hidden_state
            states = states.to(torch.promote_types(states.dtype, torch.float32))
            weights = torch.from_numpy(_weights(batch, tokens)).to(states)
            with exact:
                pooled = torch.einsum("bl,bld->bd", weights, states)
            pooled = functional.normalize(pooled, dim=-1)[: len(batch.members)]
            rows.put(batch.members, pooled.float().cpu().numpy())
    features = rows.values[which]
    check_features(features, examples, "hidden states")
    return features


def check_span(tokens: str) -> None:
    """Refuse tokens that no one knows.

    Raises:
        ArgumentError: Not one of `Span`.
    """
    if tokens not in get_args(Span):
        raise ArgumentError(f"tokens {tokens!r} is unknown; choose all or completion.")


def _weights(batch: Batch, tokens: Span) -> npt.NDArray[np.float64]:
    """(B, L), each row summing to 1."""
    weights = np.zeros(tuple(batch.ids.shape))
    for row, example in enumerate(batch.tokens):
        length = len(example.ids)
        if tokens == "all":
            weights[row, :length] = np.arange(1, length + 1)
        else:
            weights[row, example.trained] = 1.0
    return weights / weights.sum(axis=1, keepdims=True)
