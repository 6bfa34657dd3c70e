"""Attention in bfloat16 whose backward pass is quick on a CPU.

PyTorch's kernel takes 10 ms and more for the backward pass of a layer, however short the rows are;
as products of matrices it takes 2 to 4 for a few rows of up to 128 tokens. From some 500 tokens on
the kernel is the faster one again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

_NAME = "products"
_LONGEST = 320  # tokens, above which PyTorch's kernel is called


@contextmanager
def attention_by_products(network: PreTrainedModel, dtype: torch.dtype) -> Iterator[None]:
    """Let attention be computed in products, where that is faster.

    Args:
        network: Its attention is changed inside, if it is PyTorch's kernel on a CPU.
        dtype: What products are computed in.
    """
    if not by_products(network, dtype):
        yield
        return
    network.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        network.set_attn_implementation("sdpa")


def by_products(network: PreTrainedModel, dtype: torch.dtype) -> bool:
    """Whether `attention_by_products` changes anything."""
    used = network.config._attn_implementation
    return used == "sdpa" and network.device.type == "cpu" and dtype is torch.bfloat16


class _Attention(torch.autograd.Function):
    """softmax(scale · q kᵀ, where the mask is true) v, the probabilities kept in bfloat16."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        """Queries (B, H, L, D); keys and values (B, G, L, D); mask (B or 1, 1, L, L)."""
        batch, heads, length, size = query.shape
        groups = key.shape[1]
        # the heads that share keys and values are rows of one product
        q = query.reshape(batch * groups, heads // groups * length, size)
        k, v = (each.reshape(batch * groups, length, size) for each in (key, value))
        scores = torch.bmm(q, k.transpose(1, 2)).view(batch, heads, length, length).mul_(scale)
        scores.masked_fill_(~mask, torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, -1).view(len(q), -1, length)
        ctx.save_for_backward(q, k, v, weights)
        ctx.scale, ctx.shapes = scale, (query.shape, key.shape)
        return torch.bmm(weights, v).view(query.shape)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401
        """The gradients of what `forward` takes."""
        q, k, v, weights = ctx.saved_tensors
        given = gradient.reshape(q.shape)
        of_weights = torch.bmm(given, v.transpose(1, 2))
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        of_scores.mul_(ctx.scale)
        of_query, of_key = ctx.shapes
        return (
            torch.bmm(of_scores, k).view(of_query),
            torch.bmm(of_scores.transpose(1, 2), q).view(of_key),
            torch.bmm(weights.transpose(1, 2), given).view(of_key),
            None,
            None,
        )


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,  # noqa: ANN401
) -> tuple[torch.Tensor, None]:
    """As transformers calls attention; what is out of the ordinary goes to PyTorch's kernel."""
    if (
        dropout
        or query.dtype not in (torch.float32, torch.bfloat16)  # no other is cast by autocast
        or attention_mask is None
        or attention_mask.dtype is not torch.bool
        or attention_mask.shape[1] != 1
        or not query.shape[2] == key.shape[2] <= _LONGEST
        or query.shape[3] != value.shape[3]
        or others.get("position_bias") is not None
        or others.get("softcap") is not None
    ):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **others
        )
    if torch.is_autocast_enabled("cpu"):
        narrow = torch.get_autocast_dtype("cpu")
        query, key, value = query.to(narrow), key.to(narrow), value.to(narrow)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    found = _Attention.apply(query, key, value, attention_mask, scale)
    return found.transpose(1, 2).contiguous(), None


def _mask(*args: Any, **kwargs: Any) -> torch.Tensor | None:  # noqa: ANN401
    """A mask even where the kernel would need none."""
    return sdpa_mask(*args, **{**kwargs, "allow_is_causal_skip": False})


AttentionInterface.register(_NAME, _attention)
AttentionMaskInterface.register(_NAME, _mask)
