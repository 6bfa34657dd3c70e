"""The loss that fine-tuning lowers: of each example, the mean over its completion tokens."""

from __future__ import annotations

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from airrep.errors import ArgumentError


def completion_losses(
    network: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor, start: torch.Tensor
) -> torch.Tensor:
    """Each example's mean loss over its completion tokens, (B,), differentiable.

    Logits exist only where a completion token is predicted: a hook hands the LM head those
    positions alone, and whatever the network does to logits afterwards still happens.

    Args:
        network: A causal language model.
        ids: (B, L) padded on the right.
        mask: (B, L) 1 where there is a token.
        start: (B,) position of each completion's first token, 1 or more and before the last.

    Raises:
        ArgumentError: The network has no LM head.
    """
    places = torch.arange(ids.shape[1] - 1, device=ids.device)
    predicting = mask[:, 1:].bool() & (places + 1 >= start[:, None])  # (B, L - 1)
    rows, columns = predicting.nonzero(as_tuple=True)
    head = network.get_output_embeddings()
    if head is None:
        raise ArgumentError(f"{type(network).__name__} has no LM head, so its losses are unknown.")
    hook = head.register_forward_pre_hook(lambda _, inputs: (inputs[0][rows, columns],))
    try:
        logits = network(ids, attention_mask=mask, use_cache=False).logits
    finally:
        hook.remove()
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # (tokens, vocabulary)
    losses = functional.cross_entropy(logits, ids[rows, columns + 1], reduction="none")
    counts = predicting.sum(dim=1).tolist()
    return torch.stack([part.mean() for part in losses.split(counts)])
