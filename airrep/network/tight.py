"""The forward pass of a BERT encoder over texts that lie end to end, without padding, on a CPU.

A product of matrices may round by its shape, so every product here has a shape that one text, or
the precision, decides. Linear layers multiply a block of rows at a time (`_block`), whichever texts
they belong to. Attention takes one text at a time, padded to a multiple of `_ALIGNED` tokens, which
is what its kernels are fast at. Everything else treats each token, or each text, by itself. So a
few texts need no copies to fill a pass, and many need no padding.

Shapes: B texts, T tokens in all, P of them with those that fill the last block, H hidden size,
F features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (its usual name)
from transformers import BertModel
from transformers.activations import ACT2FN

from airrep.language_model.tokens import Tokens
from airrep.network.modeling import AirRepModel
from airrep.network.token_pooling import SENTENCE_POOLINGS, level_numbers

_ALIGNED = 16
# Rows of a product: few, so that one query does not wait long; many where that is faster. A CPU
# that is given bfloat16 multiplies so fast that a tall product takes half the time of four short
# ones, and one query still waits less than 30 ms; in float32 they take the same.
_BLOCK, _BLOCK_IN_BFLOAT16 = 256, 1024
# Part of what an embedding is, as `airrep.language_model.batching.GEOMETRY` is.
TIGHT_GEOMETRY = (
    f"tight, {_BLOCK} or {_BLOCK_IN_BFLOAT16} tokens a product, attention aligned to {_ALIGNED}"
)

_LINEAR = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
_Product = Callable[..., torch.Tensor]


def can_be_tight(model: AirRepModel) -> bool:
    """Whether the model is of the kind that `TightModel` computes on a CPU, without adapters."""
    return (
        type(model.bert) is BertModel
        and all(
            type(layer.get_submodule(name)) is nn.Linear
            for layer in model.bert.encoder.layer
            for name in _LINEAR
        )
        and model.config.token_pooling in SENTENCE_POOLINGS
        and model.config._attn_implementation == "sdpa"
        and not model.config.is_decoder
    )


class TightModel:
    """What `AirRepModel.features` computes, from a copy of its layers' weights packed for a CPU.

    Attributes:
        made_of: What tells whether the model's weights are still those that were packed.
    """

    def __init__(self, model: AirRepModel) -> None:
        """Pack the weights; the model keeps its own."""
        self.made_of = weights_seen(model)
        self._block = _block(model.dtype)
        self._how = model.config.token_pooling
        self._embeddings: Any = model.bert.embeddings
        layers: Any = model.bert.encoder.layer
        self._layers = [_Layer(layer, model.config) for layer in layers]
        self._looked_at = level_numbers(len(self._layers))  # the last is, in any case
        if self._how != "levels":
            self._looked_at = []
        masked = torch.zeros(model.config.max_position_embeddings + _ALIGNED)
        masked[model.config.max_position_embeddings :] = -torch.inf
        self._masked = masked.to(model.dtype)

    def features(self, texts: Sequence[Tokens]) -> torch.Tensor:
        """(B, F) float32: the features of texts (see `airrep.network.token_pooling`).

        Those of a text without any token are NaN.
        """
        places = _Places(texts, self._how, self._block, self._masked)
        states = self._embedded(places)
        pooled = []
        for level, layer in enumerate(self._layers):
            if level in self._looked_at:
                pooled.append(places.pooled(states))
            states = layer.forward(states, places)
        pooled.append(places.pooled(states))
        found = torch.cat(pooled, dim=1)
        found[places.empty] = torch.nan
        return found

    def _embedded(self, places: _Places) -> torch.Tensor:
        """The token embeddings of all texts, (P, H)."""
        parts = self._embeddings
        words = F.embedding(places.ids, parts.word_embeddings.weight)
        typed = words + parts.token_type_embeddings.weight[0]
        positions = F.embedding(places.positions, parts.position_embeddings.weight)
        return parts.LayerNorm(typed + positions)


def _block(dtype: torch.dtype) -> int:
    """Rows of every product in a precision."""
    return _BLOCK_IN_BFLOAT16 if dtype is torch.bfloat16 else _BLOCK


class _Places:
    """Where the tokens of texts are among P.

    Attributes:
        block: Of how many rows products are.
        ids: (P,) tokens; 0 where there is no text.
        positions: (P,) of each token in its text.
        padded: The places of the tokens text by text, each padded to a multiple of `_ALIGNED` by
            P, the place of a row of zeros.
        windows: Each text's number of tokens, the same when padded, and the mask of the padding.
        empty: (B,) whether a text has no tokens.
    """

    def __init__(self, texts: Sequence[Tokens], how: str, block: int, masked: torch.Tensor) -> None:
        """Lay out texts, one after the other.

        Args:
            texts: The texts, at least one.
            how: One of `SENTENCE_POOLINGS`.
            block: Of how many rows products are.
            masked: As many zeros as a text can have tokens, then -inf.
        """
        lengths = np.array([len(text.ids) for text in texts])
        starts = np.array([text.start for text in texts])
        self._count = int(lengths.sum())
        self._begins = np.cumsum(lengths) - lengths
        self._how = how
        self.block = block
        self._bags = np.stack([self._begins, self._begins + np.minimum(starts, lengths)], axis=1)
        self.empty = torch.from_numpy(lengths == 0)
        size = max(1, -(-self._count // block)) * block
        ids, positions = np.zeros((2, size), dtype=np.int64)
        ids[: self._count] = np.concatenate([text.ids for text in texts])
        positions[: self._count] = np.arange(self._count) - np.repeat(self._begins, lengths)
        self.ids, self.positions = torch.from_numpy(ids), torch.from_numpy(positions)
        widths = -(-lengths // _ALIGNED) * _ALIGNED
        padded = np.full(int(widths.sum()), size)
        shifts = np.cumsum(widths) - widths - self._begins
        padded[np.arange(self._count) + np.repeat(shifts, lengths)] = np.arange(self._count)
        self.padded = torch.from_numpy(padded)
        longest = len(masked) - _ALIGNED
        self.windows = [
            (
                n,
                width,
                None if n == width else masked[None, None, None, longest - n : longest - n + width],
            )
            for n, width in zip(lengths.tolist(), widths.tolist(), strict=True)
            if n
        ]

    def pooled(self, states: torch.Tensor) -> torch.Tensor:
        """(B, H), or (B, 2H) of segments: one level's features, from states (P, H)."""
        if self._how == "cls":
            return states[torch.from_numpy(self._begins).clamp(max=len(states) - 1)].float()
        bags = self._begins if self._how == "mean" else self._bags.ravel()
        every = torch.arange(self._count)
        found = F.embedding_bag(every, states.float(), torch.from_numpy(bags), mode="mean")
        return found.view(len(self._begins), -1)


class _Layer:
    """One of BERT's layers."""

    def __init__(self, layer: Any, config: Any) -> None:  # noqa: ANN401
        attention = layer.attention.self
        three = (attention.query, attention.key, attention.value)
        weight = torch.cat([each.weight.detach() for each in three])
        self._three = _plain(weight, torch.cat([each.bias.detach() for each in three]))
        self._heads = config.num_attention_heads
        self._mix = _added(layer.attention.output.dense)
        self._mixed: nn.Module = layer.attention.output.LayerNorm
        self._widen = _activated(layer.intermediate.dense, config.hidden_act)
        self._narrow = _added(layer.output.dense)
        self._narrowed: nn.Module = layer.output.LayerNorm

    def forward(self, states: torch.Tensor, texts: _Places) -> torch.Tensor:
        """States (P, H) of the layer above, from those of the one below."""
        blocks = states.split(texts.block)
        attended = self._attended(blocks, texts)
        made = []
        for block, seen in zip(blocks, attended.split(texts.block), strict=True):
            mixed = self._mixed(self._mix(seen, block))
            made.append(self._narrowed(self._narrow(self._widen(mixed), mixed)))
        return torch.cat(made)

    def _attended(self, blocks: Sequence[torch.Tensor], texts: _Places) -> torch.Tensor:
        """(P, H): each text's attention over itself."""
        three = [self._three(block) for block in blocks]
        padded = torch.cat([*three, three[0].new_zeros(1, three[0].shape[1])]).index_select(
            0, texts.padded
        )
        parts = padded.view(1, len(padded), 3, self._heads, -1).permute(2, 0, 3, 1, 4).unbind()
        found, begin = [], 0
        for n, width, mask in texts.windows:
            query, key, value = (part.narrow(2, begin, width) for part in parts)
            seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
            found.append(seen.narrow(2, 0, n).transpose(1, 2))
            begin += width
        rest = sum(map(len, blocks)) - sum(n for n, _, _ in texts.windows)
        found.append(padded.new_zeros(1, rest, self._heads, parts[0].shape[3]))
        return torch.cat(found, dim=1).flatten(2)[0]


# --- products with weights that are packed once, where this build of torch can ---


def _plain(weight: torch.Tensor, bias: torch.Tensor) -> _Product:
    """Rows to rows."""
    packed = _packed(weight)
    if packed is None:
        return lambda rows: F.linear(rows, weight, bias)
    made = torch.ops.mkldnn._linear_pointwise
    return lambda rows: made(rows, packed, bias, "none", [], "")


def _added(linear: nn.Linear) -> _Product:
    """Rows, and what is added to their product, to rows."""
    weight, bias = linear.weight.detach(), linear.bias.detach()
    packed = _packed(weight)
    if packed is None:
        return lambda rows, more: F.linear(rows, weight, bias).add_(more)
    made = torch.ops.mkldnn._linear_pointwise.binary
    return lambda rows, more: made(rows, more, packed, bias, "add")


def _activated(linear: nn.Linear, activation: str) -> _Product:
    """Rows to the activations of their product."""
    weight, bias = linear.weight.detach(), linear.bias.detach()
    packed = _packed(weight)
    if packed is None or activation != "gelu":
        product, function = _plain(weight, bias), ACT2FN[activation]
        return lambda rows: function(product(rows))
    made = torch.ops.mkldnn._linear_pointwise
    return lambda rows: made(rows, packed, bias, "gelu", [], "none")


def _packed(weight: torch.Tensor) -> torch.Tensor | None:
    """The weight in the layout that oneDNN multiplies by, which saves packing it at every product.

    None where the private operations that take it are missing or refuse the weight: on builds
    without oneDNN, and in bfloat16 on CPUs whose instructions do not suffice.
    """
    rows = weight.new_zeros(_block(weight.dtype), weight.shape[1])
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), len(rows))
        made = torch.ops.mkldnn._linear_pointwise
        made(rows, packed, weight[:, 0].contiguous(), "gelu", [], "none")
        made.binary(rows, made(rows, packed, None, "none", [], ""), packed, None, "add")
    except (AttributeError, RuntimeError):
        return None
    return packed


def weights_seen(model: AirRepModel) -> list[tuple[int, int]]:
    """Where the backbone's weights are, and how often they were changed."""
    return [(weight.data_ptr(), weight._version) for weight in model.bert.parameters()]
