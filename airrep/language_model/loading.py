"""A model's directory, GGUF file or hub id, and its weights, checked while they are loaded.

Weights are read from safetensors or GGUF only, and no code from a checkpoint is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from transformers.utils import logging as transformers_logging

from airrep.console.wording import shortened, shown
from airrep.disk.paths import user_path
from airrep.errors import CheckpointError, MissingInputError
from airrep.language_model.checkpoint_files import read_config
from airrep.language_model.gguf import (
    is_gguf,
    local_files,
    made_plain,
    made_whole,
    read_gguf_config,
    reading,
)


def find_checkpoint(path_or_id: str | Path, revision: str | None = None) -> Path:
    """The local directory of a checkpoint, or its GGUF file.

    What a hub id names is downloaded: JSON, text and safetensors only.

    Raises:
        MissingInputError: Neither a directory, a GGUF file nor a hub id that can be had.
    """
    path, name = user_path(path_or_id, "checkpoint"), str(path_or_id)
    try:
        if path.is_dir() or (path.is_file() and is_gguf(path)):
            return path
        there = path.exists()
    except OSError as error:
        raise MissingInputError(
            f"checkpoint {shown(name, 200)} cannot be read ({shortened(error, 200)})."
        ) from error
    if there or name.startswith((".", "/", "~")) or name.count("/") > 1 or is_gguf(path):
        raise MissingInputError(f"checkpoint {name!r} is not a directory, nor a GGUF file.")
    try:
        files = snapshot_download(
            name, revision=revision, allow_patterns=["*.json", "*.txt", "*.jinja", "*.safetensors"]
        )
    except Exception as error:  # what the hub and its HTTP client raise varies by version
        raise MissingInputError(
            f"checkpoint {name!r} is neither a local directory nor a model on the hub that could "
            f"be downloaded ({type(error).__name__}: {first_line(error)})."
        ) from error
    return Path(files)


def load_weights(kind: Any, directory: Path, dtype: torch.dtype, **kwargs: Any) -> Any:  # noqa: ANN401
    """`kind.from_pretrained`, strict: every parameter comes from the file, every layer is used."""
    read_config(directory)
    gguf = is_gguf(directory)
    if gguf:
        kwargs |= {"config": read_gguf_config(directory), **made_whole()}
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()  # its load report; we raise instead
    transformers_logging.disable_progress_bar()
    try:
        with reading(directory):
            model, report = kind.from_pretrained(
                **local_files(directory),
                dtype=dtype,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **kwargs,
            )
    except CheckpointError as error:
        error.at(directory)
        raise
    except Exception as error:  # damaged weights and impossible configs raise many kinds
        raise CheckpointError(
            f"{directory}: the weights could not be loaded ({first_line(error)}). Expected "
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
    if gguf:
        made_plain(model)
    return model


def _of_more_layers(unexpected: Iterable[str], model: Any) -> Iterator[str]:  # noqa: ANN401
    """Keys that are named as the model's own are, but for the number of the layer."""

    def unnumbered(name: str) -> str:
        return re.sub(r"\d+", "N", name.removeprefix(f"{model.base_model_prefix}."))

    own = {unnumbered(name) for name in model.state_dict()}
    return (name for name in unexpected if "encoder.layer." in name or unnumbered(name) in own)


def first_line(error: BaseException) -> str:
    """The first line of what an error of another library says."""
    return shortened(next(iter(str(error).strip().splitlines()), type(error).__name__), 300)
