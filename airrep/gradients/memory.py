"""Memory of a language model's passes, known before it is taken; nothing is loaded.

With W weights, Q of them in layers that are quantized, C of them in linear layers that are cast to
bfloat16 once, L of them in layers whose gradients are looked at, A bytes of activations a token
that a backward pass needs, N blocks, P padded tokens of a pass, V tokens in the vocabulary, r the
rank of gradients' projections:

    4·W (+ 2·C)             weights in float32 (computed in bfloat16)
    2·W                     weights in bfloat16
    2·(W − Q) + b·Q         weights in int8 (b = 9/8) or int4 (5/8), and the largest layer whole
    A·P/N, A·P              activations: without gradients of one block; with gradients, all
    10·P·V, 16·P·V          logits of as many completion tokens, without and with gradients
    4·r·P a layer           what gradient features keep of the inputs, beside the projections and
                            the features of the pass's rows
    12·L                    Adam's moments, a batch's gradient and a pass's; or moments, the step
                            and the weights after it

and 0.7 times as much again as all but the weights, for what is short-lived and for the allocator's
gaps, beside the libraries. A is read off the model's own forward pass on tensors without contents.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from airrep.gradients.random_projections import FEATURES, projected_layers, rank_within
from airrep.language_model.batching import BUCKET
from airrep.language_model.blocks import transformer_blocks
from airrep.language_model.loading import find_checkpoint
from airrep.language_model.model import network_config
from airrep.language_model.passes import pass_tokens
from airrep.language_model.weights import BITS, GROUP, loaded_in, quantizable
from airrep.machine.number_types import ModelDtype

GAPS = 1.7
LIBRARIES = 700 << 20
_TOKENS = 64  # of the row whose activations are counted
_LOGIT_BYTES = {False: 10, True: 16}  # without and with gradients

ScoredBy = Literal["rds", "losses", "gradient", "gradient_adam", "nudge"]


@dataclass(frozen=True)
class ScoringMemory:
    """What scoring takes, in bytes.

    Attributes:
        weights: The model, and its weights cast.
        activations: What a pass holds of them.
        logits: Logits of a pass, and what becomes of them.
        features: What gradient features keep, and their projections; or moments and steps.
    """

    weights: int
    activations: int
    logits: int
    features: int

    @property
    def total(self) -> int:
        """All of it, with what is short-lived and the libraries."""
        passing = self.activations + self.logits + self.features
        return self.weights + int(GAPS * passing) + LIBRARIES


def scoring_memory(
    model: str | Path | PreTrainedConfig,
    scored_by: ScoredBy,
    *,
    dtype: ModelDtype = "float32",
    narrow: bool = True,
    tokens_per_batch: int | None = None,
    longest: int = 0,
    rank: int = 64,
) -> ScoringMemory:
    """What scoring takes on one device, by the formula above.

    Passes hold the longest row, whatever it has. Of that row all tokens may be the completion's.

    Args:
        model: Directory, GGUF file or hub id, or the config of a causal language model.
        scored_by: "rds" (hidden states), "losses", "gradient" (and gradient_cosine),
            "gradient_adam" or "nudge".
        dtype: Number type of the weights.
        narrow: Computed in bfloat16, which "nudge" never is.
        tokens_per_batch: Padded tokens of a pass; default those of a CPU.
        longest: Tokens of the longest row.
        rank: Rank of the projections, less where layers are many (see `rank_within`).

    Raises:
        ArgumentError: The dtype is unknown, or there are no layers whose gradients could be taken.
        MissingInputError: No such model.

    Example:
        >>> scoring_memory(model_directory, "rds", dtype="int8").weights < 2**20
        True
    """
    config = (
        model if isinstance(model, PreTrainedConfig) else network_config(find_checkpoint(model))
    )
    narrow = (narrow or dtype != "float32") and scored_by != "nudge"
    backward = scored_by not in ("rds", "losses")
    with FakeTensorMode():
        network = AutoModelForCausalLM.from_config(config, dtype=loaded_in(dtype))
        network.eval().requires_grad_(False)
        weights = _weights(network, dtype, narrow)
        if narrow and dtype == "float32":
            _cast_once(network)
        looked_at = projected_layers(network) if scored_by in ("gradient_adam", "nudge") else []
        for layer in looked_at:  # whose inputs are kept then
            network.get_submodule(layer.name).weight.requires_grad_()
        tokens = max(longest, tokens_per_batch or pass_tokens(network))
        activations = saved_bytes(network, narrow) * tokens
        if not backward:
            activations //= len(transformer_blocks(network)[1])
        head = network.get_output_embeddings().weight.shape[0]
        logits = 0 if scored_by == "rds" else _LOGIT_BYTES[backward] * head * tokens
        features = 12 * sum(math.prod(layer.sizes) for layer in looked_at)
        if scored_by == "gradient":
            features = _features(network, rank, tokens)
        return ScoringMemory(weights, activations, logits, features)


def saved_bytes(network: PreTrainedModel, narrow: bool) -> int:
    """Bytes a token that a backward pass needs beside the weights; a network of fake tensors."""
    own = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    seen: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage()._cdata not in own:
            seen[tensor.untyped_storage()._cdata] = tensor  # kept, so that no other takes its place
        return tensor

    embeddings = network.get_input_embeddings()
    states = embeddings(torch.zeros(1, _TOKENS, dtype=torch.int64))
    if not states.requires_grad:
        states.requires_grad_()
    mask = torch.ones(1, 1, _TOKENS, _TOKENS, dtype=torch.bool)
    with (
        torch.autocast("cpu", torch.bfloat16, enabled=narrow),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
    ):
        network.base_model(inputs_embeds=states, attention_mask=mask, use_cache=False)
    return sum(tensor.untyped_storage().nbytes() for tensor in seen.values()) // _TOKENS


def count_weights(parameters: Iterable[torch.Tensor]) -> int:
    """How many numbers they are."""
    return sum(parameter.numel() for parameter in parameters)


def as_gib(size: int) -> str:
    """Bytes in words."""
    return f"{size / 2**30:.1f} GiB"


def _weights(network: PreTrainedModel, dtype: str, narrow: bool) -> int:
    whole = count_weights(network.parameters())
    if dtype == "float32":
        linear = (m.weight for m in network.modules() if isinstance(m, nn.Linear))
        return 4 * whole + 2 * narrow * count_weights(linear)
    held = (
        [layer.weight.numel() for layer in quantizable(network).values()] if dtype in BITS else []
    )
    bits = BITS.get(dtype, 0) + 32 // GROUP  # a minimum and a step for a group, of 16 bits each
    return 2 * (whole - sum(held)) + bits * sum(held) // 8 + 6 * max(held, default=0)


def _cast_once(network: PreTrainedModel) -> None:
    """Do what `airrep.language_model.passes.weights_cast_once` does before passes."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            module.weight = nn.Parameter(module.weight.to(torch.bfloat16), requires_grad=False)


def _features(network: PreTrainedModel, rank: int, tokens: int) -> int:
    """Inputs kept of each layer, projections, and the features of as many rows as there can be."""
    every = projected_layers(network)
    chosen = projected_layers(network, rank=rank_within(every, rank, FEATURES))
    kept = tokens * sum(layer.ranks[1] for layer in chosen)
    projections = sum(
        r * s for layer in chosen for r, s in zip(layer.ranks, layer.sizes, strict=True)
    )
    rows = -(-tokens // BUCKET)
    return 4 * (kept + projections + 2 * rows * sum(layer.width for layer in chosen))
