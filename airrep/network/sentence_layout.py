"""The sentence-transformers directory layout, read and written without that library.

`modules.json` lists a pipeline: Transformer, Pooling, then optionally Dense (our projector) and
Normalize. Encoders that tell prompt and completion apart have modules of our own in the first
place, or the first two (`airrep.sentence_modules`), and the text template beside the first one's
settings.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from airrep.console.wording import shown
from airrep.disk.atomic import atomic_directory
from airrep.disk.sealed import reading
from airrep.errors import ArgumentError, CheckpointError
from airrep.network.modeling import AirRepConfig, AirRepModel
from airrep.network.token_pooling import LANGUAGE_MODEL_POOLINGS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PREFIX = "sentence_transformers.models"
_PIPELINE = ("Transformer", "Pooling", "Dense", "Normalize")
_OURS = "airrep.sentence_modules"
_SEGMENTS = ("SegmentTransformer", "SegmentPooling")  # in the places of the first two
_TRANSFORMER_CONFIG = "sentence_bert_config.json"
_IDENTITY = "torch.nn.modules.linear.Identity"


@dataclass(frozen=True)
class Modules:
    """What a sentence encoder does after its backbone; weight (D, F) and bias (D,) of a Dense.

    The template is known where `token_pooling` is "segments" or "levels", and where it has a
    `completion_share`.
    """

    token_pooling: str = "mean"
    normalize: bool = False
    weight: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    template: dict[str, Any] | None = None


def read_modules(directory: Path) -> Modules:
    """Read `modules.json`; a directory without one is mean-pooled.

    Raises:
        CheckpointError: A pipeline this project cannot express, or a missing or damaged file.
    """
    file = directory / "modules.json"
    if not file.is_file():
        return Modules()
    with reading(file, None, CheckpointError, "cannot read the modules it lists"):
        listed = json.loads(file.read_text("utf-8"))
        kinds = [module["type"].rsplit(".", 1)[-1] for module in listed]
        ours = kinds[:1] == [_SEGMENTS[0]]
        segments = tuple(kinds[:2]) == _SEGMENTS
        first = _SEGMENTS[0] if ours else _PIPELINE[0]
        known = (first, _SEGMENTS[1] if segments else _PIPELINE[1], *_PIPELINE[2:])
        if kinds != [kind for kind in known if kind in kinds]:
            raise CheckpointError(
                f"{file}: the pipeline {', '.join(kinds)} is not supported; expected "
                f"{', '.join(_PIPELINE)}, the last two optional, or {_SEGMENTS[0]} in place of the "
                f"first, and perhaps {_SEGMENTS[1]} in place of the second."
            )
        places = {
            kind: _inside(directory, m["path"]) for kind, m in zip(kinds, listed, strict=True)
        }
        token_pooling, template = "mean", None
        if ours:
            described = places[_SEGMENTS[0]] / _TRANSFORMER_CONFIG
            template = json.loads(described.read_text("utf-8"))["template"]
        if segments:
            pooled = json.loads((places[_SEGMENTS[1]] / "config.json").read_text("utf-8"))
            token_pooling = "levels" if pooled.get("levels", 1) > 1 else "segments"
        elif "Pooling" in kinds:
            token_pooling = _token_pooling(places["Pooling"] / "config.json")
        weight, bias = _dense(places["Dense"]) if "Dense" in kinds else (None, None)
    return Modules(token_pooling, "Normalize" in kinds, weight, bias, template)


def _inside(directory: Path, name: str) -> Path:
    place = Path(name)
    if place.is_absolute() or ".." in place.parts:
        raise CheckpointError(
            f"{directory / 'modules.json'}: names the module {shown(name, 200)}, which is not in "
            "this directory."
        )
    return directory / place


def _token_pooling(file: Path) -> str:
    config = json.loads(file.read_text("utf-8"))
    modes = [
        key.removeprefix("pooling_mode_").removesuffix("_token").removesuffix("_tokens")
        for key, value in config.items()
        if key.startswith("pooling_mode_") and value is True
    ] or [config.get("pooling_mode")]
    if modes not in (["mean"], ["cls"]):
        raise CheckpointError(f"{file}: pooling {modes} is not supported; expected mean or cls.")
    return str(modes[0])


def _dense(place: Path) -> tuple[torch.Tensor, torch.Tensor]:
    config = json.loads((place / "config.json").read_text("utf-8"))
    if config["activation_function"] != _IDENTITY:
        raise CheckpointError(
            f"{place}: a dense layer with activation {config['activation_function']!r} is not a "
            "linear projector."
        )
    tensors = load_file(place / "model.safetensors")
    weight = tensors["linear.weight"].float()
    return weight, tensors.get("linear.bias", torch.zeros(weight.shape[0])).float()


def write_modules(
    model: AirRepModel, tokenizer: PreTrainedTokenizerBase, directory: Path, max_tokens: int
) -> None:
    """Write the encoder so that sentence-transformers (and what reads its layout) can load it.

    Raises:
        ArgumentError: It is made of a language model, whose features that layout cannot describe.
    """
    if model.config.token_pooling in LANGUAGE_MODEL_POOLINGS:
        raise ArgumentError(
            f"an encoder with token_pooling {model.config.token_pooling!r} cannot be exported to "
            "the sentence-transformers layout, which has no place for a language model's features. "
            "Use save_pretrained, and AirRep.from_pretrained to load it."
        )
    weight, bias = model.projector.weight.detach().float(), model.projector.bias.detach().float()
    pipeline = ["Transformer", "Pooling", "Dense"] + ["Normalize"] * model.config.normalize
    types = [f"{_PREFIX}.{kind}" for kind in pipeline]
    settings: dict[str, Any] = {"max_seq_length": max_tokens, "do_lower_case": False}
    pooling: dict[str, Any] = {
        "word_embedding_dimension": weight.shape[1],
        "pooling_mode_cls_token": model.config.token_pooling == "cls",
        "pooling_mode_mean_tokens": model.config.token_pooling == "mean",
    }
    template = model.config.text_template()
    segments = model.config.token_pooling in ("segments", "levels")
    if segments or template.completion_share is not None:
        types[0] = f"{_OURS}.{_SEGMENTS[0]}"
        settings["template"] = template.to_dict()
    if segments:
        types[1] = f"{_OURS}.{_SEGMENTS[1]}"
        parts = model.feature_blocks  # a prompt's and a completion's of each level
        pooling = {"embedding_dimension": parts[0], "levels": len(parts) // 2}
    paths = ["", *(f"{i}_{kind}" for i, kind in enumerate(pipeline) if i)]
    with atomic_directory(directory) as temporary:
        model.bert.save_pretrained(temporary)
        if model.config.backbone is None:
            _write(temporary / "config.json", _as_bert(temporary / "config.json"))
        if model.config.token_pooling == "levels":
            config = json.loads((temporary / "config.json").read_text("utf-8"))
            _write(temporary / "config.json", {**config, "output_hidden_states": True})
        tokenizer.save_pretrained(temporary)
        for path in paths[1:]:
            (temporary / path).mkdir()
        modules = [
            {"idx": i, "name": str(i), "path": path, "type": kind}
            for i, (kind, path) in enumerate(zip(types, paths, strict=True))
        ]
        _write(temporary / "modules.json", modules)
        _write(temporary / _TRANSFORMER_CONFIG, settings)
        _write(temporary / paths[1] / "config.json", pooling)
        _write(
            temporary / paths[2] / "config.json",
            {
                "in_features": weight.shape[1],
                "out_features": weight.shape[0],
                "bias": True,
                "activation_function": _IDENTITY,
            },
        )
        dense = {"linear.weight": weight.contiguous(), "linear.bias": bias.contiguous()}
        save_file(dense, temporary / paths[2] / "model.safetensors")


def _as_bert(file: Path) -> dict[str, Any]:
    """A config of ours with the fields that only we know taken out, as plain BERT."""
    ours = AirRepConfig.__annotations__
    config = json.loads(file.read_text("utf-8"))
    kept = {key: value for key, value in config.items() if key not in ours}
    return {**kept, "model_type": "bert", "architectures": ["BertModel"]}


def _write(file: Path, content: Any) -> None:  # noqa: ANN401 (anything json can hold)
    file.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
