"""Group pooling: the scores of a group's members to its influence. The formula, in torch.

For a target x and a group S with scores s_i = <Enc(x), Enc(z_i)> (AirRep, arXiv 2505.18513, eq. 4):

    f(x, S) = sum_i a_i s_i,    a = softmax(scale · |s|)

Larger means that training on S lowers the loss on x more. One example's influence is its raw
score; order and duplication of the whole group do not matter; f lies between min s and max s.
`selection.group` holds the incremental form of the same formula. How a network pools the states of
a text's tokens is another matter: `airrep.network.token_pooling`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from airrep.errors import ArgumentError

if TYPE_CHECKING:  # so that the names of the kinds can be had without torch
    import torch

GroupPooling = Literal["attention", "sum", "mean"]
GROUP_POOLINGS: tuple[str, ...] = get_args(GroupPooling)


def group_influence(
    scores: torch.Tensor, *, pooling: GroupPooling = "attention", scale: float = 1.0
) -> torch.Tensor:
    """Pool scores over the last dimension.

    Args:
        scores: (…, n) scores of the n members of a group.
        pooling: "attention" (the formula above), or the plain "sum" or "mean" of the scores.
        scale: Inverse temperature of the attention; the checkpoint's `attention_scale`.

    Returns:
        (…) pooled scores; 0 for an empty group.

    Raises:
        ArgumentError: `pooling` is unknown.

    Example:
        >>> import torch
        >>> group_influence(torch.tensor([[1.0, -1.0], [2.0, 2.0]])).tolist()
        [0.0, 2.0]
    """
    if pooling == "sum":
        return scores.sum(dim=-1)
    if pooling == "mean":
        return scores.sum(dim=-1) / max(scores.shape[-1], 1)
    if pooling == "attention":
        return ((scale * scores.abs()).softmax(dim=-1) * scores).sum(dim=-1)
    raise ArgumentError(f"pooling {pooling!r} is unknown; choose from {GROUP_POOLINGS}.")
