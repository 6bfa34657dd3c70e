"""A language model taken apart, so that many copies can be trained in one pass.

What is trained is a `CompletionNetwork`: token ids, or the output of a frozen trunk, to logits at
the positions where completions are predicted. Its trained weights can carry a leading dimension of
K models (`torch.func`), all other weights are shared. The parts are checked against the model's
own logits, so a model that does something between its parts is refused, not mistrained.

Shapes: B rows, T tokens, H hidden size, C predicted tokens of a batch, V vocabulary.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from airrep.errors import ArgumentError, CheckpointError
from airrep.language_model.blocks import transformer_blocks
from airrep.language_model.lora import LoraLinear, adapted_layers
from airrep.language_model.model import LanguageModel
from airrep.language_model.tokens import Tokens
from eval_harness.runners.base import check_blocks
from eval_harness.runners.recipe import Trainable

_OTHER_HEADS = ("classifier", "summary")  # whose dropout a language model does not have
_AGREEMENT = 2e-4  # of logits in float32, relative to their largest


class CompletionNetwork(nn.Module):
    """Rows to logits at some of their positions; attention is causal, padding is on the right."""

    def __init__(self, network: PreTrainedModel, *, embedded: bool) -> None:
        super().__init__()
        self.decoder = network.base_model
        self.head = network.get_output_embeddings()
        self._input = "inputs_embeds" if embedded else "input_ids"

    def forward(
        self, rows: torch.Tensor, positions: torch.Tensor, *, exact: bool = False
    ) -> torch.Tensor:
        """Rows (B, T) ids or (B, T, H) hidden, positions (C,) in the flattened B·T, to (C, V).

        `exact` computes the logits in float32 even under autocast: a bfloat16 logit of 10 is off by
        up to 0.03, which is noise in a loss that is to be compared.
        """
        count, length = rows.shape[:2]
        dtype = self.head.weight.dtype
        mask = torch.full((length, length), torch.finfo(dtype).min, dtype=dtype, device=rows.device)
        hidden = self.decoder(
            **{self._input: rows},
            attention_mask=mask.triu(1).expand(count, 1, length, length),
            position_ids=torch.arange(length, device=rows.device)[None],
            use_cache=False,
        ).last_hidden_state
        wanted = hidden.reshape(-1, hidden.shape[-1])[positions]
        if not exact:
            return self.head(wanted)
        with torch.autocast(rows.device.type, enabled=False):
            return self.head(wanted.to(dtype))


@dataclass(frozen=True, eq=False)
class StackParts:
    """The parts of a model for one kind of training."""

    network: CompletionNetwork  # what is trained and evaluated
    # names of `network`'s parameters that move, to their names in the whole model
    trained: dict[str, str]
    trunk: PreTrainedModel | None  # frozen, its hidden states feed `network`; None: token ids do
    depth: int  # blocks in the trunk

    def trunk_output(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Token ids (B, T) to the input of the first trained block, (B, T, H)."""
        assert self.trunk is not None
        with torch.no_grad():
            states = self.trunk.base_model(
                input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False
            ).hidden_states
        return states[self.depth]


def take_apart(model: LanguageModel, trainable: Trainable) -> StackParts:
    """Split a model for stacked training.

    Raises:
        ArgumentError: More blocks are to be trained than there are, there is no layer for
            adapters, or the model has dropout, which would differ between a stack and a run alone.
        CheckpointError: Attention is local, within fewer tokens than an example can have.
    """
    check_blocks(model.network, trainable)
    _refuse_dropout(model)
    _refuse_local_attention(model)
    whole = copy.deepcopy(model.network).requires_grad_(False).eval()
    whole.set_attn_implementation("eager")
    if trainable.kind == "all":
        network = CompletionNetwork(whole, embedded=False)
        names = {name: name for name, _ in whole.named_parameters()}
        parts = StackParts(network, _inside(network, whole, names), None, 0)
    elif trainable.kind == "last":
        parts = _top_blocks(model.network, whole, trainable.size)
    else:
        parts = _with_adapters(whole, trainable.size)
    return parts


def check_parts(parts: StackParts, model: LanguageModel, tokens: Tokens) -> None:
    """Compare the parts' logits on one example with the model's own, both in float32.

    Raises:
        CheckpointError: They differ, or the parts do not run.
    """
    device = model.network.device
    ids = torch.tensor([tokens.ids], device=device)
    try:
        rows = ids if parts.trunk is None else parts.trunk_output(ids, torch.ones_like(ids))
        with torch.no_grad():
            mine = parts.network(rows, torch.arange(ids.shape[1], device=device))
            expected = model.network(input_ids=ids, use_cache=False).logits[0]
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise _not_stackable(model, f"its parts do not run alone: {error}") from error
    difference = float((mine - expected).abs().max() / expected.abs().max())
    if not difference <= _AGREEMENT:
        raise _not_stackable(
            model, f"its parts give other logits, by {difference:.1e} of the largest"
        )


def _not_stackable(model: LanguageModel, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{model.name} ({type(model.network).__name__}) cannot be trained in stacks: {reason}. Use "
        "the trl runner."
    )


def _refuse_dropout(model: LanguageModel) -> None:
    rates = [m.p for m in model.network.modules() if isinstance(m, nn.Dropout)]
    for name, rate in model.network.config.to_dict().items():
        if "dropout" in name and not name.startswith(_OTHER_HEADS):
            rates.append(rate)
    if any(rates):
        raise ArgumentError(
            f"{model.name}: the model trains with dropout, which a stack and a single run would "
            "draw differently. Use the trl runner, or set the dropout in the model's config to 0."
        )


def _refuse_local_attention(model: LanguageModel) -> None:
    config = model.network.config
    for name in ("sliding_window", "attention_chunk_size"):
        window = getattr(config, name, None)
        if window and window < model.format.max_tokens:
            reason = f"a token attends to {window} others at most ({name})"
            raise _not_stackable(model, f"{reason}; max_tokens={window} avoids it")


def _top_blocks(original: PreTrainedModel, tail: PreTrainedModel, count: int) -> StackParts:
    name, blocks = transformer_blocks(tail)
    depth = len(blocks) - count
    kept = nn.ModuleList(list(blocks)[depth:])
    holder, _, attribute = name.rpartition(".")
    setattr(tail.get_submodule(holder), attribute, kept)
    tail.config.num_hidden_layers = count
    if getattr(tail.config, "layer_types", None):
        tail.config.layer_types = tail.config.layer_types[depth:]
    network = CompletionNetwork(tail, embedded=True)
    names = {}
    for position in range(count):
        for leaf, _ in kept[position].named_parameters():
            names[f"{name}.{position}.{leaf}"] = f"{name}.{position + depth}.{leaf}"
    return StackParts(network, _inside(network, tail, names), original, depth)


def _with_adapters(whole: PreTrainedModel, rank: int) -> StackParts:
    name, blocks = transformer_blocks(whole)
    names = {}
    for path, layer in adapted_layers(blocks, name).items():
        holder, _, attribute = path.rpartition(".")
        setattr(whole.get_submodule(holder), attribute, LoraLinear(layer, rank))
        for half in ("down", "up"):
            names[f"{path}.{half}"] = f"{path}.{half}"
    network = CompletionNetwork(whole, embedded=False)
    return StackParts(network, _inside(network, whole, names), None, 0)


def _inside(
    network: CompletionNetwork, whole: PreTrainedModel, names: dict[str, str]
) -> dict[str, str]:
    """The same parameters by their names inside `network`."""
    by_identity = {id(parameter): name for name, parameter in network.named_parameters()}
    parameters = dict(whole.named_parameters())
    return {by_identity[id(parameters[inner])]: outer for inner, outer in names.items()}
