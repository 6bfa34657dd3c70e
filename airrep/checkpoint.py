"""A directory or hub id -> (model, tokenizer), checked.

Two kinds load: checkpoints of ours and of the AirRep release (`model_type: "airrep"`), and any
BERT-family sentence encoder, which gets its own pooling and an identity projector.
Weights are read from safetensors only, and no code from a checkpoint is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from airrep.checkpoint_files import read_config
from airrep.errors import CheckpointError, MissingInputError
from airrep.modeling import AirRepConfig, AirRepModel, without_pooler
from airrep.paths import user_path
from airrep.sentence_layout import read_modules
from airrep.wording import shortened, shown

SENTENCE_BACKBONES = ("bert", "roberta", "xlm-roberta", "camembert", "mpnet", "electra")
# Cosines differ by a few tenths at most; at scale 1 the attention would be all but uniform.
COSINE_SCALE = 5.0


def find_checkpoint(path_or_id: str | Path, revision: str | None = None) -> Path:
    """The local directory of a checkpoint; a hub id is downloaded (JSON, text, safetensors only).

    Raises:
        MissingInputError: Neither a directory nor a hub id that can be had.
    """
    path, name = user_path(path_or_id, "checkpoint"), str(path_or_id)
    try:
        if path.is_dir():
            return path
        there = path.exists()
    except OSError as error:
        raise MissingInputError(
            f"checkpoint {shown(name, 200)} cannot be read ({shortened(error, 200)})."
        ) from error
    if there or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise MissingInputError(f"checkpoint {name!r} is not a directory.")
    try:
        files = snapshot_download(
            name, revision=revision, allow_patterns=["*.json", "*.txt", "*.jinja", "*.safetensors"]
        )
    except Exception as error:  # what the hub and its HTTP client raise varies by version
        raise MissingInputError(
            f"checkpoint {name!r} is neither a local directory nor a model on the hub that could "
            f"be downloaded ({type(error).__name__}: {_first_line(error)})."
        ) from error
    return Path(files)


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
        shared = ("hidden_size", "num_attention_heads", "vocab_size", "max_position_embeddings",
                  "pad_token_id")  # fmt: skip
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
        raise CheckpointError(f"{directory}/config.json: {error}") from error
    except Exception as error:  # config classes raise many kinds on a wrong value
        reason = shortened(error, 300)  # theirs take two lines
        raise CheckpointError(
            f"{directory}/config.json: {type(error).__name__}: {reason}"
        ) from error


def load_weights(kind: Any, directory: Path, dtype: torch.dtype, **kwargs: Any) -> Any:  # noqa: ANN401
    """`kind.from_pretrained`, strict: every parameter comes from the file, every layer is used."""
    read_config(directory)
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()  # its load report; we raise instead
    transformers_logging.disable_progress_bar()
    try:
        model, report = kind.from_pretrained(
            directory, dtype=dtype, use_safetensors=True, local_files_only=True,
            trust_remote_code=False, output_loading_info=True, ignore_mismatched_sizes=True,
            **kwargs,
        )  # fmt: skip
    except CheckpointError as error:
        raise CheckpointError(f"{directory}: {error}") from error
    except Exception as error:  # damaged weights and impossible configs raise many kinds
        raise CheckpointError(
            f"{directory}: the weights could not be loaded ({_first_line(error)}). Expected "
            "safetensors that match config.json."
        ) from error
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
    if report["mismatched_keys"]:
        name, stored, expected = min(report["mismatched_keys"])
        raise CheckpointError(
            f"{directory}: weight {name!r} has the shape {tuple(stored)}; config.json asks for "
            f"{tuple(expected)}."
        )
    unused_head = "pooler."  # sentence encoders keep a pooling layer that nothing here uses
    missing = sorted(name for name in report["missing_keys"] if unused_head not in name)
    if missing:
        raise CheckpointError(
            f"{directory}: {len(missing)} weights are missing, the first is {missing[0]!r}."
        )
    # Heads of other tasks may be left over; a layer left over is a config that says too few.
    unread = sorted(_of_more_layers(report["unexpected_keys"], model))
    if unread:
        raise CheckpointError(
            f"{directory}: config.json has no place for {len(unread)} weights of the backbone, the "
            f"first is {unread[0]!r}."
        )
    return model


def _of_more_layers(unexpected: Iterable[str], model: Any) -> Iterator[str]:  # noqa: ANN401
    """Keys that are named as the model's own are, but for the number of the layer."""

    def unnumbered(name: str) -> str:
        return re.sub(r"\d+", "N", name.removeprefix(f"{model.base_model_prefix}."))

    own = {unnumbered(name) for name in model.state_dict()}
    return (name for name in unexpected if "encoder.layer." in name or unnumbered(name) in own)


def _load_tokenizer(directory: Path, vocab_size: int) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            directory, use_fast=True, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # tokenizers raise bare Exceptions on damaged files
        raise CheckpointError(f"{directory}: no tokenizer ({_first_line(error)}).") from error
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


def _first_line(error: BaseException) -> str:
    return shortened(next(iter(str(error).strip().splitlines()), type(error).__name__), 300)
