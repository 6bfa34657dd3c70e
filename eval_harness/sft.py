"""Fine-tune a causal language model on a selection, with stock TRL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from airrep.errors import ArgumentError, CheckpointError

_LAYOUTS = ({"prompt", "completion"}, {"messages"}, {"text"})


@dataclass(frozen=True)
class FineTuned:
    """A finished run: where the model is, optimiser steps taken, mean training loss in nats."""

    directory: Path
    steps: int
    train_loss: float


def fine_tune(
    dataset: Dataset,
    model: str | Path,
    output: str | Path,
    *,
    epochs: float = 2.0,
    max_steps: int = -1,
    learning_rate: float = 2e-5,
    batch_size: int = 32,
    max_length: int = 1024,
    seed: int = 0,
    **options: Any,  # noqa: ANN401 (SFTConfig's own)
) -> FineTuned:
    """Train all weights of `model` on `dataset`; the loss is on completions only.

    The defaults are those of the AirRep paper (2 epochs, 2e-5, batches of 32). The tokenizer's
    chat template is used for conversations; plain prompts and completions are joined as they are.

    Args:
        dataset: What `TrainingSet.to_trl` returns: exactly one of TRL's layouts.
        model: Directory or hub id of a causal language model.
        output: Directory for the trained model and its tokenizer.
        epochs: Passes over the dataset.
        max_steps: Optimiser steps, if not -1; takes precedence over `epochs`.
        learning_rate: Peak learning rate.
        batch_size: Examples per step and process.
        max_length: Tokens at which an example is cut.
        seed: Of data order and dropout.
        options: Anything else that `trl.SFTConfig` takes.

    Raises:
        ArgumentError: The dataset is empty, or of no layout that TRL reads.
        CheckpointError: The model cannot be loaded or has no padding token.
    """
    columns = set(dataset.column_names)
    if columns not in _LAYOUTS:
        raise ArgumentError(
            f"dataset: found the columns {sorted(columns)}; expected exactly prompt and "
            "completion, or messages, or text (TrainingSet.to_trl returns one of these)."
        )
    if len(dataset) == 0:
        raise ArgumentError("dataset: no rows to train on.")
    try:
        network = AutoModelForCausalLM.from_pretrained(model, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{model}: not a causal language model ({error}).") from error
    if tokenizer.pad_token is None:
        raise CheckpointError(f"{model}: the tokenizer has no padding token; set one and save it.")
    settings = {
        "num_train_epochs": epochs,
        "max_steps": max_steps,
        "learning_rate": learning_rate,
        "per_device_train_batch_size": batch_size,
        "max_length": max_length,
        "seed": seed,
        # Of a conversation or a pair only the answer is learned; plain text has no such part.
        "completion_only_loss": True if "prompt" in columns else None,
        "assistant_only_loss": False,
        "use_cpu": not torch.accelerator.is_available(),
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "dataloader_pin_memory": False,
        **options,
    }
    config = SFTConfig(output_dir=str(output), **settings)
    trainer = SFTTrainer(
        model=network, args=config, train_dataset=dataset, processing_class=tokenizer
    )
    outcome = trainer.train()
    trainer.save_model(str(output))
    return FineTuned(Path(output), int(outcome.global_step), float(outcome.training_loss))
