"""The loss that fine-tuning lowers: of each example, the mean over its completion tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from airrep.errors import ArgumentError
from airrep.language_model.batching import in_blocks


def mean_token_losses(
    network: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor, trained: torch.Tensor
) -> torch.Tensor:
    """Each example's mean loss over its completion tokens, (B,), differentiable.

    Args:
        network: See `token_losses`; as are the other arguments.
        ids: (B, L).
        mask: (B, L).
        trained: (B, L).

    Raises:
        ArgumentError: The network has no LM head.
    """
    return torch.stack([losses.mean() for losses in token_losses(network, ids, mask, trained)])


def token_losses(
    network: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor, trained: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """The losses of each example's completion tokens, B tensors, differentiable.

    In float32, or in what the logits are in where that is wider. Logits exist only where a
    completion token is predicted; how many tokens that are changes no bit of any (see
    `airrep.language_model.batching`).

    Args:
        network: A causal language model.
        ids: (B, L) padded on the right.
        mask: (B, L) 1 where there is a token.
        trained: (B, L) true where a token counts; in each row somewhere after the first.

    Raises:
        ArgumentError: The network has no LM head.
    """
    predicting = mask[:, 1:].bool() & trained[:, 1:]  # (B, L - 1)
    rows, columns = predicting.nonzero(as_tuple=True)
    with _head_only_at(network, rows, columns):
        logits = network(ids, attention_mask=mask, use_cache=False).logits
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # (tokens, vocabulary)
    losses = functional.cross_entropy(logits, ids[rows, columns + 1], reduction="none")
    # one by one, because torch 2.6 makes no list where it takes forward derivatives
    return losses.split([int(count) for count in predicting.sum(dim=1)])


def from_start(start: torch.Tensor, length: int) -> torch.Tensor:
    """(B, length) true from each row's `start` (B,) on."""
    return torch.arange(length, device=start.device) >= start[:, None]


@contextmanager
def _head_only_at(
    network: PreTrainedModel, rows: torch.Tensor, columns: torch.Tensor
) -> Iterator[None]:
    """The LM head sees these positions alone; whatever comes after it still happens."""
    head = network.get_output_embeddings()
    if head is None:
        raise ArgumentError(f"{type(network).__name__} has no LM head, so its losses are unknown.")
    whole, patched = head.forward, vars(head).get("forward")  # as accelerate's hooks patch it
    # of a network on several devices, the head need not be where the tokens are
    head.forward = lambda states: in_blocks(
        whole, states[rows.to(states.device), columns.to(states.device)]
    )
    try:
        yield
    finally:
        if patched is None:
            del head.forward
        else:
            head.forward = patched
