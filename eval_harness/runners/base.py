"""The interface of a runner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from airrep.errors import ArgumentError
from airrep.language_model.blocks import transformer_blocks
from airrep.language_model.losses import completion_losses
from airrep.language_model.model import LanguageModel, check_tokenizer
from airrep.machine.hardware import dtype_named
from airrep.records import Example
from eval_harness.runners.recipe import Precision, Recipe, Trainable


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One model to train: its rows, and the seed of their order (and of LoRA's first weights)."""

    examples: Sequence[Example]
    seed: int


class TrainedModels(Protocol):
    """The models that a runner has trained together, in the order of their runs."""

    def losses(self, examples: Sequence[Example]) -> npt.NDArray[np.float64]:
        """Mean completion-token loss in nats of every model on every example, (runs, examples)."""
        ...

    def models(self) -> Iterator[LanguageModel]:
        """Each model, whole and on its own. Use one up before asking for the next."""
        ...


@dataclass(frozen=True, eq=False)
class OneTrainedModel:
    """The `TrainedModels` of a runner that trains one model at a time."""

    model: LanguageModel
    precision: Precision

    def losses(self, examples: Sequence[Example]) -> npt.NDArray[np.float64]:
        """See `TrainedModels.losses`."""
        return completion_losses(self.model, examples, dtype=self.precision)[None]

    def models(self) -> Iterator[LanguageModel]:
        """See `TrainedModels.models`."""
        yield self.model


class Runner(Protocol):
    """Fine-tunes copies of one language model.

    Attributes:
        name: "direct", "stacked" or "trl".
        model: The model that every run starts from; never changed.
        recipe: How runs train.
        stack: Runs that are trained together, if they have the same number of rows.
        way: How it computes, where there are several ways, which round differently; else "".
    """

    name: str
    model: LanguageModel
    recipe: Recipe
    stack: int
    way: str

    def train(self, runs: Sequence[TrainingRun]) -> TrainedModels:
        """Train one model per run; all runs have the same number of rows.

        Raises:
            ArgumentError: No run, a run without rows, or runs of different sizes.
        """
        ...


def check_runs(runs: Sequence[TrainingRun], stack: int) -> int:
    """The number of rows that every run has.

    Raises:
        ArgumentError: See `Runner.train`.
    """
    sizes = {len(run.examples) for run in runs}
    if not runs or 0 in sizes:
        raise ArgumentError("a run needs at least one row to train on.")
    if len(sizes) > 1 or len(runs) > stack:
        raise ArgumentError(
            f"runs that train together must have the same number of rows and be at most {stack}; "
            f"found {len(runs)} with {sorted(sizes)} rows."
        )
    return sizes.pop()


def check_model(model: LanguageModel) -> None:
    """Refuse weights that are not float32, and a tokenizer without padding or end-of-text token.

    Raises:
        ArgumentError: The weights are the reason.
        CheckpointError: The tokenizer is.
    """
    if model.network.dtype != torch.float32:
        raise ArgumentError(f"{model.name}: load the model in float32, not {model.network.dtype}.")
    check_tokenizer(model.tokenizer, model.name)


def check_blocks(network: PreTrainedModel, trainable: Trainable) -> None:
    """Refuse to train more blocks than there are.

    Raises:
        ArgumentError: See there.
    """
    if trainable.kind == "last":
        count = len(transformer_blocks(network)[1])
        if trainable.size > count:
            raise ArgumentError(f"trainable {trainable}: the model has {count} blocks.")


def provenance(runner: Runner) -> dict[str, Any]:
    """What losses depend on, beside rows and seeds: model, recipe, runner, precision."""
    dtype = dtype_named(runner.recipe.precision, runner.model.network.device)
    return {
        "model": runner.model.fingerprint,
        "runner": runner.name,
        "stack": runner.stack,
        **runner.recipe.to_dict(),
        "precision": str(dtype).removeprefix("torch."),
        **({"way": runner.way} if runner.way else {}),
    }
