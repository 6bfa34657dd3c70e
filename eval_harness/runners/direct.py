"""One model at a time, in a loop that takes no more time and memory than training has to.

The losses are those of stock TRL within 1e-4 nats in float32 (tests/integration/test_runners.py).
What makes it lean:

* a batch goes through the network in parts of rows of similar length, so that there is little
  padding and few activations; the parts' gradients add up to the batch's;
* logits exist only where a completion token is predicted, a block of them at a time, and no
  gradient of the vocabulary's size is made for a part (`eval_harness.runners.vocabulary`);
* attention is computed in products where those are faster (`airrep.language_model.attention`);
* weights are cast to bfloat16 once a step, weights that do not move once for all runs;
* the optimizer makes its step in one pass over the weights.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from airrep.console.progress import bar
from airrep.disk.digests import content_digest
from airrep.disk.parts import kept_steps
from airrep.errors import LossError
from airrep.language_model.attention import attention_by_products, by_products
from airrep.language_model.batching import pad
from airrep.language_model.blocks import last_blocks, transformer_blocks
from airrep.language_model.lora import (
    ALPHA_OVER_RANK,
    LoraLinear,
    adapted_layers,
    first_down_projection,
)
from airrep.language_model.model import LanguageModel
from airrep.language_model.passes import token_key
from airrep.language_model.token_losses import mean_token_losses
from airrep.language_model.tokens import Tokens
from airrep.machine.hardware import dtype_named
from airrep.machine.memory import return_freed
from eval_harness.runners.base import (
    OneTrainedModel,
    TrainedModels,
    TrainingRun,
    check_blocks,
    check_model,
    check_runs,
    provenance,
)
from eval_harness.runners.kept_training import keep, take_up
from eval_harness.runners.recipe import BETAS, EPSILON, MAX_GRADIENT_NORM, Recipe, Trainable
from eval_harness.runners.vocabulary import Vocabulary, is_plain

TOKENS_AT_ONCE = 512  # padded, of a part of a batch; but for one longer row


class DirectRunner:
    """Trains one model after another; see `eval_harness.runners.base.Runner`.

    Runs give the same bits on the same machine with the same `tokens_at_once`, whether or not they
    were interrupted; with other parts of batches they differ by the rounding of sums.

    Example:
        >>> from airrep import Example
        >>> rows = [Example(str(i), f"question {i}", "answer") for i in range(4)]
        >>> trained = DirectRunner(model, Recipe(epochs=1)).train([TrainingRun(rows[:2], seed=0)])
        >>> trained.losses(rows[2:]).shape
        (1, 2)
    """

    name = "direct"
    stack = 1

    def __init__(
        self,
        model: LanguageModel,
        recipe: Recipe,
        *,
        tokens_at_once: int = TOKENS_AT_ONCE,
        compiled: bool = False,
    ) -> None:
        """Prepare to train copies of `model`, which has float32 weights.

        Args:
            model: What every run starts from.
            recipe: How runs train.
            tokens_at_once: Padded tokens of a part of a batch; bounds the activations.
            compiled: Let torch.compile fuse what happens in a block. It takes a minute once, needs
                a C++ compiler, and saves a fifth of the training after that (docs/benchmarks.md).

        Raises:
            ArgumentError: The weights are not float32, or the model has not the blocks or layers
                that are to be trained.
            CheckpointError: The tokenizer has no padding or end-of-text token.
        """
        check_model(model)
        self.model, self.recipe, self.compiled = model, recipe, compiled
        self._tokens_at_once = tokens_at_once
        self._trainable = Trainable.parse(recipe.trainable)
        check_blocks(model.network, self._trainable)
        if self._trainable.kind == "lora":
            name, blocks = transformer_blocks(model.network)
            adapted_layers(blocks, name)
        self._dtype = dtype_named(recipe.precision, model.network.device)
        ways = {
            "attention by products": by_products(model.network, self._dtype),
            "compiled": compiled,
        }
        self.way = ", ".join(way for way, taken in ways.items() if taken)
        self._is_plain: bool | None = None

    def train(self, runs: Sequence[TrainingRun]) -> TrainedModels:
        """See `Runner.train`."""
        size = check_runs(runs, self.stack)
        run = runs[0]
        tokens = self.model.tokenize(run.examples)
        if self._is_plain is None:
            longest = max(tokens, key=lambda each: len(each.ids)).ids
            ids = torch.tensor([longest], device=self.model.network.device)
            self._is_plain = is_plain(self.model.network, ids)
        order = self.recipe.order(size, run.seed).tolist()
        network = self._network_to_train(run.seed)
        moving = {name: p for name, p in network.named_parameters() if p.requires_grad}
        for parameter in moving.values():  # now, rather than between activations, which are freed
            parameter.grad = torch.zeros_like(parameter)
        vocabulary = Vocabulary(network, self._dtype) if self._is_plain else None
        optimizer = torch.optim.AdamW(
            list(moving.values()), betas=BETAS, eps=EPSILON, weight_decay=0.0, **_one_pass(network)
        )
        steps = self.recipe.steps(size)
        kept = kept_steps(lambda: self._told(run, tokens))
        begun = take_up(kept, moving, optimizer)
        with (
            attention_by_products(network, self._dtype),
            bar(steps, "training", "step", done=begun, shown=False) as counter,
        ):
            for number in range(begun, steps):
                part = slice(number * self.recipe.batch_size, (number + 1) * self.recipe.batch_size)
                for group in optimizer.param_groups:
                    group["lr"] = self.recipe.rate(number, steps)
                optimizer.zero_grad(set_to_none=False)
                with _seeded(network, [run.seed, number]):
                    loss = self._backward(network, vocabulary, [tokens[i] for i in order[part]])
                if not np.isfinite(loss):
                    raise LossError(
                        f"run with seed {run.seed}: the training loss is {loss} at step {number} "
                        f"of {steps}; lower the learning rate, or look for broken weights in the "
                        "model."
                    )
                nn.utils.clip_grad_norm_(moving.values(), MAX_GRADIENT_NORM)
                optimizer.step()
                keep(kept, number + 1, moving, optimizer)
                counter.advance()
        trained = self._finished(network)
        del optimizer, vocabulary, moving, network
        return_freed()
        return OneTrainedModel(trained, self.recipe.precision)

    def _told(self, run: TrainingRun, tokens: Sequence[Tokens]) -> str:
        """All that what is trained depends on, for whom parts of it are kept."""
        rows = content_digest(*(token_key(each) for each in tokens))
        where = f"{self.model.network.device.type} {self._tokens_at_once}"
        return f"{provenance(self)} {where} {run.seed} {rows}"

    def _network_to_train(self, seed: int) -> PreTrainedModel:
        """A copy of what moves, and the same weights where nothing moves."""
        original = self.model.network
        moves = _moving(original, self._trainable)
        weights = {}
        for parameter in original.parameters():
            own = parameter.detach()
            mine = id(parameter) in moves
            weights[id(parameter)] = nn.Parameter(own.clone() if mine else own, requires_grad=mine)
        network = copy.deepcopy(original, weights).train()
        network.config.use_cache = False
        if self._trainable.kind == "lora":
            _adapt(network, self._trainable.size, seed, self._dtype)
        if self.compiled:
            for block in transformer_blocks(network)[1]:
                block.compile(dynamic=True)
        return network

    def _backward(
        self, network: PreTrainedModel, vocabulary: Vocabulary | None, batch: Sequence[Tokens]
    ) -> float:
        """Gradients of the mean loss over the batch's completion tokens; returns the loss."""
        count = sum(len(tokens.trained) for tokens in batch)
        device, narrow = network.device, self._dtype is torch.bfloat16
        total = 0.0
        # one context for the step: it remembers the weights it has cast
        with torch.autocast(device.type, torch.bfloat16, enabled=narrow):
            for part in parts_of_batch(batch, self._tokens_at_once):
                length = max(len(tokens.ids) for tokens in part)
                ids, mask = pad(
                    [tokens.ids for tokens in part], length, int(self.model.tokenizer.pad_token_id)
                )
                trained = torch.zeros_like(mask, dtype=torch.bool)
                for row, tokens in enumerate(part):
                    trained[row, tokens.trained] = True
                given = (ids.to(device), mask.to(device), trained.to(device))
                if vocabulary is not None:
                    total += vocabulary.backward(*given, count)
                else:  # what the model does with its logits is known to the model alone
                    means = mean_token_losses(network, *given)
                    summed = (means * given[2][:, 1:].sum(dim=1)).sum()
                    (summed / count).backward()
                    total += float(summed.detach())
            if vocabulary is not None:
                vocabulary.finish_batch(count)
        return total / count

    def _finished(self, network: PreTrainedModel) -> LanguageModel:
        """The trained model, whole, adapters merged; nothing in it requires gradients."""
        if self._trainable.kind == "lora":
            network = _merged(self.model.network, network)
        elif self.compiled:
            for block in transformer_blocks(network)[1]:
                block._compiled_call_impl = None
        for parameter in network.parameters():
            parameter.grad = None
        network.requires_grad_(False)
        network.config.use_cache = self.model.network.config.use_cache
        return replace(self.model, network=network.eval())


def _merged(original: PreTrainedModel, adapted: PreTrainedModel) -> PreTrainedModel:
    """A network with the adapters in its weights; those without adapters are the original's."""
    adapters = {
        f"{name}.weight": layer
        for name, layer in adapted.named_modules()
        if isinstance(layer, LoraLinear)
    }
    weights = {}
    for name, parameter in original.named_parameters():
        merged = parameter.detach()
        if name in adapters:
            added = adapters[name].up.detach() @ adapters[name].down.detach()
            merged = torch.add(merged, added, alpha=ALPHA_OVER_RANK)
        weights[id(parameter)] = nn.Parameter(merged, requires_grad=False)
    return copy.deepcopy(original, weights)


def parts_of_batch(batch: Sequence[Tokens], tokens_at_once: int) -> list[list[Tokens]]:
    """Rows of similar length together, the longest first, each part within a budget.

    Args:
        batch: Rows of one optimizer step.
        tokens_at_once: Padded tokens of a part, but for one longer row.
    """
    parts: list[list[Tokens]] = []
    for tokens in sorted(batch, key=lambda each: len(each.ids), reverse=True):
        if not parts or (len(parts[-1]) + 1) * len(parts[-1][0].ids) > tokens_at_once:
            parts.append([])
        parts[-1].append(tokens)
    return parts


def _moving(network: PreTrainedModel, trainable: Trainable) -> set[int]:
    """The identities of the weights that are trained themselves."""
    if trainable.kind == "lora":
        return set()
    if trainable.kind == "all":
        return {id(parameter) for parameter in network.parameters()}
    blocks = last_blocks(network, trainable.size)
    return {id(parameter) for _, block in blocks for parameter in block.parameters()}


def _adapt(network: PreTrainedModel, rank: int, seed: int, dtype: torch.dtype) -> None:
    """LoRA on every linear layer of the blocks, whose own weights are cast once for all steps."""
    name, blocks = transformer_blocks(network)
    for path, layer in adapted_layers(blocks, name).items():
        adapted = LoraLinear(_frozen(layer, dtype), rank)
        start = first_down_projection(layer, path, rank, seed)
        adapted.down.data.copy_(start)
        holder, _, attribute = path.rpartition(".")
        setattr(network.get_submodule(holder), attribute, adapted.to(layer.weight.device))


def _frozen(layer: nn.Linear, dtype: torch.dtype) -> nn.Linear:
    """The layer, its weight in what products are computed in."""
    made = copy.copy(layer)
    made._parameters = {
        name: None if each is None else nn.Parameter(each.detach().to(dtype), requires_grad=False)
        for name, each in layer._parameters.items()
    }
    return made


def _one_pass(network: PreTrainedModel) -> dict[str, bool]:
    """AdamW's fastest way on a device."""
    return {"fused": True} if network.device.type in ("cpu", "cuda") else {"foreach": True}


@contextmanager
def _seeded(network: PreTrainedModel, seed: Sequence[int]) -> Iterator[None]:
    """Dropout that depends on the run and the step alone, and leaves no trace."""
    devices = [network.device] if network.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        yield
