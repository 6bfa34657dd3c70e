"""Fine-tune a causal language model on a selection, with stock TRL."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import (
    Dataset,
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from transformers import PreTrainedTokenizerBase, PrinterCallback
from trl import SFTConfig, SFTTrainer

from airrep.disk.paths import user_path
from airrep.errors import ArgumentError, LossError
from airrep.language_model.lora import with_adapters
from airrep.language_model.model import LanguageModel

_LAYOUTS = ({"prompt", "completion"}, {"messages"}, {"text"})


@dataclass(frozen=True)
class FineTuned:
    """A finished run: where the model is, optimizer steps taken, mean training loss in nats."""

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
    lora_rank: int | None = None,
    seed: int = 0,
    **options: Any,  # noqa: ANN401 (SFTConfig's own)
) -> FineTuned:
    """Train `model` on `dataset`; the loss is on completions only.

    The defaults are those of the AirRep paper. The tokenizer's chat template is used for
    conversations; plain prompts and completions are joined as they are.

    Args:
        dataset: What `TrainingSet.to_trl` returns: exactly one of TRL's layouts.
        model: Directory, GGUF file or hub id of a causal language model.
        output: Directory for the trained model and its tokenizer.
        epochs: Passes over the dataset.
        max_steps: Optimizer steps, if not -1; takes precedence over `epochs`.
        learning_rate: Peak learning rate.
        batch_size: Examples per step and process.
        max_length: Tokens at which an example is cut.
        lora_rank: Train LoRA adapters of this rank on every linear layer of the blocks, and merge
            them into the model in the end; None trains all weights. Needs the extra `lora`.
        seed: Seed of data order, dropout and adapters.
        options: Anything else that `trl.SFTConfig` takes.

    Raises:
        ArgumentError: The dataset is empty, or of no layout that TRL reads; or LoRA is asked for
            without peft, or of a model without linear layers.
        MissingInputError: No such model.
        CheckpointError: The model cannot be loaded, or has no padding or end-of-text token.
        LossError: The training loss is NaN or infinite; nothing is saved.

    Example:
        >>> rows = Dataset.from_list([{"prompt": "one and one", "completion": " two"}])
        >>> fine_tune(rows, model_directory, "trained", max_steps=1, use_cpu=True).steps
        1
    """
    columns = set(dataset.column_names)
    if columns not in _LAYOUTS:
        raise ArgumentError(
            f"dataset: found the columns {sorted(columns)}; expected exactly prompt and "
            "completion, or messages, or text (TrainingSet.to_trl returns one of these)."
        )
    if len(dataset) == 0:
        raise ArgumentError("dataset: no rows to train on.")
    loaded = LanguageModel.from_pretrained(model, device="cpu")  # the trainer moves it
    network: Any = loaded.network.train()
    if lora_rank is not None:
        network = with_adapters(network, lora_rank, seed, task="CAUSAL_LM")
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
        **options,
    }
    output = user_path(output, "output")
    trainer = sft_trainer(network, loaded.tokenizer, dataset, output, **settings)
    outcome = trainer.train()
    if not math.isfinite(outcome.training_loss):
        raise LossError(
            f"the training loss is {outcome.training_loss}; lower the learning rate "
            f"({learning_rate}), or look for broken weights in {model}."
        )
    if lora_rank is not None:
        trainer.model = trainer.model.merge_and_unload()
    trainer.save_model(str(output))
    return FineTuned(output, int(outcome.global_step), float(outcome.training_loss))


def sft_trainer(
    network: Any,  # noqa: ANN401 (PreTrainedModel, or peft's around one)
    tokenizer: PreTrainedTokenizerBase,
    dataset: Dataset,
    output: str | Path,
    **options: Any,  # noqa: ANN401 (SFTConfig's own)
) -> SFTTrainer:
    """Stock `SFTTrainer` that neither prints, reports nor saves unless `options` ask for it."""
    settings = {
        "use_cpu": not torch.accelerator.is_available(),
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "logging_nan_inf_filter": False,  # it would replace NaN by the mean of the other losses
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "gradient_checkpointing": True,  # TRL's default
        **options,
    }
    if "activation_checkpointing" in SFTConfig.__dataclass_fields__:  # its new name
        settings.setdefault("activation_checkpointing", settings.pop("gradient_checkpointing"))
    config = SFTConfig(output_dir=str(output), **settings)
    if config.n_gpu > 1:
        config._n_gpu = 1  # batch sizes are per process, which several GPUs would multiply
    with _bars(shown=not config.disable_tqdm):
        trainer = SFTTrainer(
            model=network, args=config, train_dataset=dataset, processing_class=tokenizer
        )
    if settings["logging_strategy"] == "no" and "logging_steps" not in options:
        trainer.remove_callback(PrinterCallback)  # prints even so, when training ends
    return trainer


@contextmanager
def _bars(*, shown: bool) -> Iterator[None]:
    """Keep those of datasets off."""
    change = not shown and not are_progress_bars_disabled()
    if change:
        disable_progress_bars()
    try:
        yield
    finally:
        if change:
            enable_progress_bars()
