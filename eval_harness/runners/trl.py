"""One model at a time through stock TRL: any causal language model, any hardware."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedModel, TrainerCallback

from airrep.console.progress import Bar, bar
from airrep.errors import ArgumentError, LossError
from airrep.language_model.blocks import last_blocks
from airrep.language_model.lora import check_lora, with_adapters
from airrep.language_model.model import LanguageModel
from airrep.language_model.tokens import Tokens
from airrep.machine.hardware import dtype_named
from airrep.machine.processes import processes
from eval_harness.runners.base import (
    OneTrainedModel,
    TrainedModels,
    TrainingRun,
    check_blocks,
    check_model,
    check_runs,
)
from eval_harness.runners.recipe import (
    BETAS,
    EPSILON,
    IGNORED,
    MAX_GRADIENT_NORM,
    Recipe,
    Trainable,
)
from eval_harness.runners.sft import sft_trainer


class TrlRunner:
    """Trains one model after another; see `eval_harness.runners.base.Runner`.

    Several processes can share a plan's runs (`run_subsets`), each with a GPU of its own.

    Example:
        >>> from airrep import Example
        >>> rows = [Example(str(i), f"question {i}", "answer") for i in range(4)]
        >>> trained = TrlRunner(model, Recipe(epochs=1)).train([TrainingRun(rows[:2], seed=0)])
        >>> trained.losses(rows[2:]).shape
        (1, 2)
    """

    name = "trl"
    way = ""
    stack = 1

    def __init__(self, model: LanguageModel, recipe: Recipe) -> None:
        """Prepare to train copies of `model`, which has float32 weights.

        Raises:
            ArgumentError: The weights are not float32, more blocks are to be trained than there
                are, LoRA is asked for without peft, or a launcher started several processes.
            CheckpointError: The tokenizer has no padding or end-of-text token.
        """
        if processes() > 1:
            raise ArgumentError(
                "the trl runner trains a model in one process, and was started by a launcher of "
                f"{processes()}. Start the same command several times instead, each with its "
                "CUDA_VISIBLE_DEVICES."
            )
        check_model(model)
        self.model, self.recipe = model, recipe
        self._trainable = Trainable.parse(recipe.trainable)
        check_blocks(model.network, self._trainable)
        if self._trainable.kind == "lora":
            check_lora(model.network, self._trainable.size)
        self._dtype = dtype_named(recipe.precision, model.network.device)

    def train(self, runs: Sequence[TrainingRun]) -> TrainedModels:
        """See `Runner.train`."""
        size = check_runs(runs, self.stack)
        run = runs[0]
        tokens = self.model.tokenize(run.examples)
        order = self.recipe.order(size, run.seed).tolist()
        labels = [_labels(each) for each in tokens]
        dataset = Dataset.from_dict(
            {"input_ids": [tokens[i].ids for i in order], "labels": [labels[i] for i in order]}
        )
        network = self._network_to_train(run.seed)
        with TemporaryDirectory() as folder:
            trainer = sft_trainer(
                network,
                self.model.tokenizer,
                dataset,
                folder,
                num_train_epochs=1,  # the dataset holds every epoch, in its own order
                train_sampling_strategy="sequential",
                learning_rate=self.recipe.learning_rate,
                lr_scheduler_type="linear",
                warmup_steps=0,
                per_device_train_batch_size=self.recipe.batch_size,
                adam_beta1=BETAS[0],
                adam_beta2=BETAS[1],
                adam_epsilon=EPSILON,
                weight_decay=0.0,
                max_grad_norm=MAX_GRADIENT_NORM,
                bf16=self._dtype is torch.bfloat16,
                gradient_checkpointing=False,
                seed=run.seed,
                data_seed=run.seed,
                max_length=None,  # cut already
                use_cpu=self.model.network.device.type == "cpu",
            )
            steps = self.recipe.steps(size)
            with bar(steps, "training", "step", shown=False) as counter:
                trainer.add_callback(_Counting(counter))
                outcome = trainer.train()
        if not np.isfinite(outcome.training_loss):
            raise LossError(
                f"run with seed {run.seed}: the training loss is {outcome.training_loss}; lower "
                "the learning rate, or look for broken weights in the model."
            )
        if self._trainable.kind == "lora":
            network = network.merge_and_unload()
        network.config.use_cache = self.model.network.config.use_cache
        trained = replace(self.model, network=network.requires_grad_(False).eval())
        return OneTrainedModel(trained, self.recipe.precision)

    def _network_to_train(self, seed: int) -> PreTrainedModel:
        network = copy.deepcopy(self.model.network).train()
        network.config.use_cache = False
        if self._trainable.kind == "lora":
            return with_adapters(network, self._trainable.size, seed, task="CAUSAL_LM")
        if self._trainable.kind == "last":
            network.requires_grad_(False)
            for _, block in last_blocks(network, self._trainable.size):
                block.requires_grad_(True)
        return network


class _Counting(TrainerCallback):
    """Tells a bar of every step."""

    def __init__(self, counter: Bar) -> None:
        self._counter = counter

    def on_step_end(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 (not looked at)
        self._counter.advance()


def _labels(tokens: Tokens) -> list[int]:
    labels = [IGNORED] * len(tokens.ids)
    for i in tokens.trained:
        labels[i] = tokens.ids[i]
    return labels
