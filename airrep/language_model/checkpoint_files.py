"""A checkpoint's directory or GGUF file, looked at before anything of it is loaded.

Its config says how large a network to build, and its index which files to read: neither is believed
further than the weights beside them bear out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airrep.console.wording import shortened, shown
from airrep.errors import CheckpointError
from airrep.language_model.gguf import GGUF, is_gguf, read_gguf_config

SENTENCE_BACKBONES = ("bert", "roberta", "xlm-roberta", "camembert", "mpnet", "electra")
_INDEX = "model.safetensors.index.json"
_SLACK = 1 << 20  # what is too much for truncated weights, but no harm, is left to their reader
_OF_A_LAYER = 1000
_BITS = 8  # of a byte: a number of a GGUF file takes one or more
_WIDTH = ("hidden_size", "n_embd", "d_model")
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers")


def read_config(directory: Path) -> dict[str, Any]:
    """`config.json` or a GGUF file's config, which asks for no more than the weights hold.

    Raises:
        ArgumentError: It is a GGUF file, and the package gguf is not installed.
        CheckpointError: It is missing or damaged, or describes another, larger network; or the
            index of the weights names files elsewhere.
    """
    if is_gguf(directory):
        config = read_gguf_config(directory).to_dict()
        _check_sizes(config, _BITS * directory.stat().st_size, directory)
        return config
    file = directory / "config.json"
    if not file.is_file():
        inside = next((each.name for each in sorted(directory.glob(f"*{GGUF}"))), None)
        raise CheckpointError(
            f"{directory}: config.json is missing; "
            + (f"name the file {inside!r} in it." if inside else "is this a model directory?")
        )
    config = _read_object(file)
    if (directory / _INDEX).is_file():
        _check_index(directory)
    stored = sum(each.stat().st_size for each in directory.glob("*.safetensors") if each.is_file())
    if stored:
        _check_sizes(config, stored, file)
    return config


def _read_object(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: not valid JSON ({shortened(error, 200)}).") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{file}: expected a JSON object, found {type(found).__name__}.")
    return found


def _check_index(directory: Path) -> None:
    listed = _read_object(directory / _INDEX).get("weight_map")
    names = set(map(str, listed.values())) if isinstance(listed, dict) else {""}
    for name in sorted(names):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise CheckpointError(
                f"{directory / _INDEX}: weights are said to be in {shown(name, 200)}; expected the "
                "name of a .safetensors file of this directory."
            )


def _check_sizes(config: dict[str, Any], stored: int, file: Path) -> None:
    """A number takes a byte or more, so that the weights bound what they can be the weights of."""
    parts, backbone = [config], config.get("backbone")
    if isinstance(backbone, dict):
        heads = ("projection_dim", "num_labels")
        parts = [backbone, {key: config[key] for key in heads if key in config}]
    for part in parts:
        for what, size in _sizes(part):
            if size > max(stored, _SLACK):
                raise CheckpointError(
                    f"{file}: {what} would take {size:.3g} numbers or more, and the weights beside "
                    f"it are {stored:,} bytes. Config and weights do not belong together."
                )


def _sizes(config: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """What the settings mean, and how many numbers there have to be at least."""
    width = _number(config, *_WIDTH) or 1
    embedded = _number(config, "embedding_size") or width
    yield "the hidden size", width
    yield "the layers", _number(config, *_LAYERS) * max(width, _OF_A_LAYER)
    yield "the vocabulary", _number(config, "vocab_size") * embedded
    for name in ("type_vocab_size", "intermediate_size", "projection_dim", "num_labels"):
        yield name, _number(config, name)
    if config.get("model_type") in ("airrep", *SENTENCE_BACKBONES):
        yield "the positions", _number(config, "max_position_embeddings") * embedded


def _number(config: dict[str, Any], *names: str) -> int:
    found = (config.get(name) for name in names)
    return next((n for n in found if isinstance(n, int) and not isinstance(n, bool)), 0)
