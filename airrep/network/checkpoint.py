"""A directory or hub id -> (model, tokenizer), checked.

Two kinds load: checkpoints of ours and of the AirRep release (`model_type: "airrep"`), and any
BERT-family sentence encoder, which gets its own pooling and an identity projector.
Weights are read from safetensors only, and no code from a checkpoint is ever run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from airrep.console.wording import shortened
from airrep.errors import CheckpointError
from airrep.language_model.checkpoint_files import SENTENCE_BACKBONES, read_config
from airrep.language_model.loading import first_line, load_weights
from airrep.network.modeling import AirRepConfig, AirRepModel, without_pooler
from airrep.network.sentence_layout import read_modules

# Cosines differ by a few tenths at most; at scale 1 the attention would be all but uniform.
COSINE_SCALE = 5.0


def load_checkpoint(
    directory: Path, dtype: torch.dtype
) -> tuple[AirRepModel, PreTrainedTokenizerBase]:
    """Build the model with its weights in `dtype`, and the tokenizer beside it.

    Raises:
        CheckpointError: A file is missing or damaged, or weights and config do not fit.
    """
    config = read_config(directory)
    kind = config.get("model_type")
    if kind == AirRepConfig.model_type:
        model = _load_airrep(directory, dtype)
    elif kind in SENTENCE_BACKBONES:
        model = _load_sentence_encoder(directory, config, dtype)
    else:
        raise CheckpointError(
            f"{directory}: model_type {kind!r} is not an AirRep checkpoint nor a supported "
            f"sentence encoder ({', '.join(SENTENCE_BACKBONES)})."
        )
    _check_finite(model, directory)
    return model.eval(), _load_tokenizer(directory, model.config.backbone_config().vocab_size)


def _load_airrep(directory: Path, dtype: torch.dtype) -> AirRepModel:
    with _config_errors(directory):
        config = AirRepConfig.from_pretrained(directory)
        config.text_template()
    return load_weights(AirRepModel, directory, dtype, config=config)


def _load_sentence_encoder(
    directory: Path, config: dict[str, Any], dtype: torch.dtype
) -> AirRepModel:
    modules = read_modules(directory)
    settings = {
        "token_pooling": modules.token_pooling,
        "normalize": modules.normalize,
        "attention_scale": COSINE_SCALE if modules.normalize else 1.0,
        "projection_dim": None if modules.weight is None else int(modules.weight.shape[0]),
        "template": modules.template,
    }
    if config["model_type"] == "bert":
        flat = {k: v for k, v in config.items() if k not in ("model_type", "architectures")}
    else:
        shared = (
            "hidden_size",
            "num_attention_heads",
            "vocab_size",
            "max_position_embeddings",
            "pad_token_id",
        )
        flat = {k: config[k] for k in shared if k in config}
        settings["backbone"] = config
    with _config_errors(directory):
        model = AirRepModel(AirRepConfig(**{**flat, **settings})).to(dtype)
    model.bert = without_pooler(load_weights(type(model.bert), directory, dtype))
    projector = model.projector
    weight, bias = modules.weight, modules.bias
    if weight is None or bias is None:
        weight, bias = torch.eye(projector.in_features), torch.zeros(projector.in_features)
    if weight.shape != projector.weight.shape or bias.shape != projector.bias.shape:
        raise CheckpointError(
            f"{directory}: the dense layer's weight is {tuple(weight.shape)} and its bias "
            f"{tuple(bias.shape)}; the backbone's states have {projector.in_features} dimensions."
        )
    with torch.no_grad():
        projector.weight.copy_(weight)
        projector.bias.copy_(bias)
    return model


@contextmanager
def _config_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except CheckpointError as error:
        error.at(directory / "config.json")
        raise
    except Exception as error:  # config classes raise many kinds on a wrong value
        reason = shortened(error, 300)  # theirs take two lines
        raise CheckpointError(
            f"{directory}/config.json: {type(error).__name__}: {reason}"
        ) from error


def _load_tokenizer(directory: Path, vocab_size: int) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            directory, use_fast=True, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # tokenizers raise bare Exceptions on damaged files
        raise CheckpointError(f"{directory}: no tokenizer ({first_line(error)}).") from error
    if tokenizer.pad_token_id is None:
        raise CheckpointError(f"{directory}: the tokenizer has no padding token.")
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise CheckpointError(f"{directory}: the tokenizer has no vocabulary; is a file missing?")
    largest = max(tokenizer.get_vocab().values())
    if largest >= vocab_size:
        raise CheckpointError(
            f"{directory}: the tokenizer's ids go up to {largest}, the model's embeddings only to "
            f"{vocab_size - 1}."
        )
    tokenizer.truncation_side = "right"
    return tokenizer


def _check_finite(model: AirRepModel, directory: Path) -> None:
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise CheckpointError(f"{directory}: weight {name!r} holds NaN or infinity.")
