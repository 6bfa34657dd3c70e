"""A model in the middle of its training, looked at without disturbing it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from airrep.language_model.model import LanguageModel, check_tokenizer
from airrep.language_model.tokens import LanguageModelFormat

_NAME = "the model in training"


def model_in_training(
    network: Any,  # noqa: ANN401 (a PreTrainedModel, or peft's around one)
    tokenizer: Any,  # noqa: ANN401 (PreTrainedTokenizerBase)
    args: Any,  # noqa: ANN401 (TrainingArguments)
) -> LanguageModel:
    """The model as something that reads examples, in the words that TRL trains it with.

    Args:
        network: The trainer's, not wrapped.
        tokenizer: The trainer's.
        args: The trainer's; of SFTConfig, its max_length bounds an example, and its
            assistant_only_loss says what counts.

    Raises:
        CheckpointError: The tokenizer has no padding or end-of-text token.
    """
    check_tokenizer(tokenizer, _NAME)
    longest = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    limits = [limit for limit in (getattr(args, "max_length", None), longest) if limit]
    made = LanguageModelFormat(
        max_tokens=min(limits, default=1024),
        assistant_only_loss=bool(getattr(args, "assistant_only_loss", False)),
    )
    return LanguageModel(network, tokenizer, _NAME, made)


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Leave the generators that training draws from as they were."""
    ours, numpys = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(ours)
        np.random.set_state(numpys)
