"""Many models trained in one forward and backward pass.

The trained weights of K models are one tensor with a leading dimension K; `torch.func.vmap` turns
their products into batched ones. Frozen weights are shared, and of models of which only the last
blocks move, the frozen trunk runs once per row, not once per step. Every model sees its own rows,
batches, gradient norm and optimizer state, so its losses are those of training it alone, but for
the rounding of batched products (tests bound it at 1e-4 nats in float32).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch.func import functional_call, grad_and_value, vmap

from airrep.console.progress import bar
from airrep.disk.digests import content_digest
from airrep.disk.parts import kept_rows, kept_steps
from airrep.errors import ArgumentError, LossError
from airrep.language_model.batching import BUCKET, pad, plan_batches, plan_passes
from airrep.language_model.lora import ALPHA_OVER_RANK, first_down_projection
from airrep.language_model.model import LanguageModel
from airrep.language_model.passes import token_key
from airrep.language_model.tokens import Tokens
from airrep.machine.hardware import dtype_named
from airrep.records import Example
from eval_harness.runners.base import (
    TrainedModels,
    TrainingRun,
    check_model,
    check_runs,
    provenance,
)
from eval_harness.runners.kept_training import keep, take_up
from eval_harness.runners.recipe import (
    BETAS,
    EPSILON,
    IGNORED,
    MAX_GRADIENT_NORM,
    Recipe,
    Trainable,
)
from eval_harness.runners.stack_network import StackParts, check_parts, take_apart

_EVALUATED_AT_ONCE = 8192  # tokens times models
_THROUGH_TRUNK_AT_ONCE = 2048  # tokens

Weights = dict[str, torch.Tensor]


class StackedRunner:
    """Trains up to `stack` models at once; see `eval_harness.runners.base.Runner`.

    Example:
        >>> rows = [Example(str(i), f"question {i}", "answer") for i in range(4)]
        >>> runs = [TrainingRun(rows[:2], seed) for seed in range(3)]
        >>> StackedRunner(model, Recipe(epochs=1)).train(runs).losses(rows[2:]).shape
        (3, 2)
    """

    name = "stacked"
    way = ""

    def __init__(self, model: LanguageModel, recipe: Recipe, stack: int = 8) -> None:
        """Take the model apart.

        Args:
            model: What every run starts from, with float32 weights.
            recipe: How runs train.
            stack: Models trained together. Memory grows with it: weights, gradients and two
                optimizer moments of what is trained, and the activations of a batch, each times
                the stack. With trainable "last:N" also the trunk's output of every row that was
                seen, tokens · hidden size · 2 bytes (4 in float32).

        Raises:
            ArgumentError: `stack` is below 1, the weights are not float32, the model has dropout,
                or has not the blocks or layers that are to be trained.
            CheckpointError: The tokenizer has no padding or end-of-text token, or attention is
                local. Another architecture that cannot be taken apart is found by `train`.
        """
        if stack < 1:
            raise ArgumentError(f"stack is {stack}; expected at least 1 model.")
        check_model(model)
        self.model, self.recipe, self.stack = model, recipe, stack
        self._trainable = Trainable.parse(recipe.trainable)
        self._parts = take_apart(model, self._trainable)
        self._dtype = dtype_named(recipe.precision, model.network.device)
        self._rows: dict[str, _Row] = {}
        self._shared = {
            name: parameter.detach()
            for name, parameter in self._parts.network.named_parameters()
            if name not in self._parts.trained
        }
        self._checked = False

    def train(self, runs: Sequence[TrainingRun]) -> TrainedModels:
        """See `Runner.train`."""
        size = check_runs(runs, self.stack)
        rows = [self.prepare(run.examples) for run in runs]
        orders = [self.recipe.order(size, run.seed) for run in runs]
        weights = self._first_weights([run.seed for run in runs])
        optimizer = torch.optim.AdamW(
            list(weights.values()), betas=BETAS, eps=EPSILON, weight_decay=0.0, foreach=True
        )
        step = vmap(grad_and_value(self._batch_loss), in_dims=(0, 0, 0, 0))
        steps = self.recipe.steps(size)
        told = partial(self._told, runs, rows)
        kept = kept_steps(told)
        begun = take_up(kept, weights, optimizer)
        with bar(
            steps * len(runs), "training", "step", done=begun * len(runs), shown=False
        ) as counter:
            for number in range(begun, steps):
                part = slice(number * self.recipe.batch_size, (number + 1) * self.recipe.batch_size)
                pairs = zip(rows, orders, strict=True)
                batches = [[mine[i] for i in order[part]] for mine, order in pairs]
                gradients, losses = step(weights, *self._collated(batches))
                if not bool(torch.isfinite(losses).all()):
                    bad = int(torch.nonzero(~torch.isfinite(losses))[0])
                    raise LossError(
                        f"run {bad} of the stack (seed {runs[bad].seed}): the training loss is "
                        f"{float(losses[bad])} at step {number} of {steps}; lower the learning "
                        "rate, or look for broken weights in the model."
                    )
                _clip(gradients)
                for name, parameter in weights.items():
                    parameter.grad = gradients[name]
                for group in optimizer.param_groups:
                    group["lr"] = self.recipe.rate(number, steps)
                optimizer.step()
                keep(kept, number + 1, weights, optimizer)
                counter.advance(len(runs))
        return _StackedModels(self, weights, len(runs), told)

    def _told(self, runs: Sequence[TrainingRun], rows: Sequence[Sequence[_Row]]) -> str:
        """All that what is trained depends on, for whom parts of it are kept."""
        trained = [
            (run.seed, content_digest(*(token_key(row.tokens) for row in mine)))
            for run, mine in zip(runs, rows, strict=True)
        ]
        return f"{provenance(self)} {self._device.type} {trained}"

    @property
    def _device(self) -> torch.device:
        return self.model.network.device

    @property
    def _pad_id(self) -> int:
        return int(self.model.tokenizer.pad_token_id)

    def _first_weights(self, seeds: Sequence[int]) -> Weights:
        own = dict(self._parts.network.named_parameters())
        weights = {}
        for name, outer in self._parts.trained.items():
            if outer.endswith(".down") and self._trainable.kind == "lora":
                path = outer.removesuffix(".down")
                layer = self.model.network.get_submodule(path)
                rank = own[name].shape[0]
                copies = [first_down_projection(layer, path, rank, seed) for seed in seeds]
                weights[name] = torch.stack(copies).to(self._device)
            else:
                first = own[name].detach()
                weights[name] = first.expand(len(seeds), *first.shape).clone()
        return weights

    def _collated(
        self, batches: Sequence[Sequence[_Row]]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        made = _collate(batches, self._pad_id, self.model.format.max_tokens)
        rows, positions, labels = (tensor.to(self._device) for tensor in made)
        return rows, positions, labels

    def _whole(self, weights: Weights) -> LanguageModel:
        """The language model with one run's weights, adapters merged."""
        network = copy.deepcopy(self.model.network).requires_grad_(False)
        parameters = dict(network.named_parameters())
        named = {outer: weights[name] for name, outer in self._parts.trained.items()}
        for name, weight in named.items():
            if self._trainable.kind != "lora":
                parameters[name].copy_(weight)
            elif name.endswith(".down"):
                path = name.removesuffix(".down")
                parameters[f"{path}.weight"].add_(ALPHA_OVER_RANK * named[f"{path}.up"] @ weight)
        return replace(self.model, network=network)

    def _forward(
        self, weights: Weights, rows: torch.Tensor, positions: torch.Tensor, exact: bool = False
    ) -> torch.Tensor:
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype is torch.bfloat16):
            logits: torch.Tensor = functional_call(
                self._parts.network, weights | self._shared, (rows, positions), {"exact": exact}
            )
        return logits.float()

    def _batch_loss(
        self, weights: Weights, rows: torch.Tensor, positions: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        """Mean loss over the batch's completion tokens."""
        logits = self._forward(weights, rows, positions)
        counted = labels != IGNORED
        losses = torch.nn.functional.cross_entropy(logits, labels.clamp(min=0), reduction="none")
        return (losses * counted).sum() / counted.sum()

    def prepare(self, examples: Sequence[Example]) -> list[_Row]:
        """The examples' rows; tokens and the trunk's output are computed once per example.

        Raises:
            RecordError: An example has no completion.
            CheckpointError: This architecture cannot be taken apart.
        """
        keys = [example.content for example in examples]
        fresh = {key: e for key, e in zip(keys, examples, strict=True) if key not in self._rows}
        tokens = self.model.tokenize(list(fresh.values()))
        if tokens and not self._checked:
            longest = max(tokens, key=lambda t: len(t.ids))
            check_parts(self._parts, self.model, longest)
            self._checked = True
        made = _through_trunk(
            self._parts, tokens, self._dtype, self._pad_id, self.model.format.max_tokens
        )
        self._rows.update(zip(fresh, made, strict=True))
        return [self._rows[key] for key in keys]


@dataclass(frozen=True, eq=False, slots=True)
class _Row:
    """What the network reads of one example: ids (T,) or the trunk's output (T, H)."""

    tokens: Tokens
    content: torch.Tensor


def _through_trunk(
    parts: StackParts, tokens: Sequence[Tokens], dtype: torch.dtype, pad_id: int, most_tokens: int
) -> list[_Row]:
    """Rows as the network reads them, in passes of fixed shapes (`language_model.batching`)."""
    if parts.trunk is None:
        return [_Row(t, torch.tensor(t.ids)) for t in tokens]
    made: list[_Row | None] = [None] * len(tokens)
    lengths, device = [len(t.ids) for t in tokens], parts.trunk.device
    budget = _THROUGH_TRUNK_AT_ONCE
    for each in plan_passes(lengths, most_tokens, device, budget, pass_tokens=budget):
        ids, mask = pad([tokens[i].ids for i in each.filled()], each.length, pad_id)
        hidden = parts.trunk_output(ids.to(device), mask.to(device)).to(dtype).cpu()
        for i, states in zip(each.members.tolist(), hidden, strict=False):
            made[i] = _Row(tokens[i], states[: lengths[i]].clone())
    return [row for row in made if row is not None]


def _collate(
    batches: Sequence[Sequence[_Row]], pad_id: int, most_tokens: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One batch per model: rows (K, B, T[, H]), predicted positions (K, C), labels (K, C)."""
    longest = max(len(row.tokens.ids) for batch in batches for row in batch)
    length = min(-(-longest // BUCKET) * BUCKET, most_tokens)
    most = max(sum(len(row.tokens.trained) for row in batch) for batch in batches)
    count = -(-most // BUCKET) * BUCKET
    first = batches[0][0].content
    shape = (len(batches), len(batches[0]), length, *first.shape[1:])
    rows = torch.full(shape, pad_id if first.dim() == 1 else 0, dtype=first.dtype)
    positions = np.zeros((len(batches), count), dtype=np.int64)
    labels = np.full_like(positions, IGNORED)
    for k, batch in enumerate(batches):
        at: list[int] = []
        wanted: list[int] = []
        for b, row in enumerate(batch):
            rows[k, b, : len(row.content)] = row.content
            at += [b * length + i - 1 for i in row.tokens.trained]
            wanted += row.tokens.completion
        positions[k, : len(at)] = at
        labels[k, : len(at)] = wanted
    return rows, torch.from_numpy(positions), torch.from_numpy(labels)


def _clip(gradients: Mapping[str, torch.Tensor]) -> None:
    """Scale each model's gradient to a norm of at most 1, as `clip_grad_norm_` does."""
    squares = [g.flatten(1).square().sum(dim=1) for g in gradients.values()]
    norms = torch.stack(squares).sum(dim=0).sqrt()
    factors = (MAX_GRADIENT_NORM / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients.values():
        gradient.mul_(factors.view(-1, *[1] * (gradient.dim() - 1)))


class _StackedModels:
    """See `TrainedModels`."""

    def __init__(
        self, runner: StackedRunner, weights: Weights, count: int, told: Callable[[], str]
    ) -> None:
        self._runner, self._weights, self._count, self._told = runner, weights, count, told

    def losses(self, examples: Sequence[Example]) -> npt.NDArray[np.float64]:
        runner = self._runner
        rows = runner.prepare(examples)
        lengths = [len(row.tokens.ids) for row in rows]
        budget = max(1, _EVALUATED_AT_ONCE // self._count)
        forward = vmap(partial(runner._forward, exact=True), in_dims=(0, None, None))
        with kept_rows(
            lambda: f"losses after {self._told()}",
            lambda: [token_key(row.tokens) for row in rows],
            (len(rows), self._count),
            np.float64,
        ) as kept:
            for _, members in plan_batches(lengths, budget, runner.model.format.max_tokens):
                if kept.find(members):
                    continue
                batch = [rows[i] for i in members]
                content, positions, labels = (x[0] for x in runner._collated([batch]))
                with torch.no_grad():
                    logits = forward(self._weights, content, positions)
                    flat = torch.nn.functional.cross_entropy(
                        logits.flatten(0, 1),
                        labels.clamp(min=0).repeat(self._count),
                        reduction="none",
                    )
                tokens = flat.view(self._count, -1).double().cpu().numpy()
                ends = np.cumsum([0, *(len(row.tokens.trained) for row in batch)])
                sums = np.add.reduceat(tokens[:, : ends[-1]], ends[:-1], axis=1)
                kept.put(members, (sums / np.diff(ends)).T)
        return np.ascontiguousarray(kept.values.T)

    def models(self) -> Iterator[LanguageModel]:
        for k in range(self._count):
            yield self._runner._whole({name: w[k] for name, w in self._weights.items()})
