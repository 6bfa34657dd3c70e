"""Starting points of a training: a sentence encoder with another pooling, or a language model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from airrep.encoder import AirRep
from airrep.errors import ArgumentError
from airrep.language_model.checkpoint_files import SENTENCE_BACKBONES, read_config
from airrep.language_model.loading import find_checkpoint
from airrep.language_model.model import LanguageModel
from airrep.network.gradient_pooling import GradientPooling
from airrep.network.modeling import AirRepConfig, AirRepModel
from airrep.network.token_pooling import (
    LANGUAGE_MODEL_POOLINGS,
    SENTENCE_POOLINGS,
    PredictionPooling,
)
from airrep.template import COMPLETION_SHARE, TextTemplate


def starting_point(
    backbone: str | Path,
    *,
    token_pooling: str | None = None,
    separator: str = "",
    max_tokens: int = 512,
) -> AirRep:
    """An encoder in float32 whose projector, zero here, is made by `airrep.training.loop`.

    Args:
        backbone: Directory or hub id of a sentence encoder, of a checkpoint of ours, or of the
            causal language model that will be fine-tuned.
        token_pooling: See `airrep.network.token_pooling`; default "segments", or "prediction" for a
            language model; "gradient" is for one as well.
        separator: For a language model: between a prompt and a completion of text. A checkpoint of
            ours keeps its own.
        max_tokens: Longer texts are cut, the prompt before the completion: of a sentence encoder
            see `TextTemplate.completion_share`.

    Raises:
        MissingInputError: No such checkpoint.
        CheckpointError: It cannot be loaded.
        ArgumentError: A pooling that this backbone does not have.
    """
    directory = find_checkpoint(backbone)
    kind = read_config(directory).get("model_type")
    if kind in (*SENTENCE_BACKBONES, AirRepConfig.model_type):
        encoder = AirRep.from_pretrained(directory, dtype="float32")
        known = encoder.model.config
        reads_as_model = known.token_pooling in LANGUAGE_MODEL_POOLINGS
        poolings = (known.token_pooling,) if reads_as_model else SENTENCE_POOLINGS
        wanted = token_pooling or (known.token_pooling if reads_as_model else "segments")
        _check(wanted, poolings, backbone)
        template = replace(known.text_template(), max_tokens=max_tokens)
        if template.separable and template.completion_share is None and not reads_as_model:
            template = replace(template, completion_share=COMPLETION_SHARE)
        config = AirRepConfig(
            **{**known.to_dict(), "token_pooling": wanted, "template": template.to_dict()}
        )
        network, tokenizer = encoder.model.bert, encoder.tokenizer
        prediction, gradient = encoder.model.prediction, encoder.model.gradient
    else:
        wanted = token_pooling or "prediction"
        _check(wanted, LANGUAGE_MODEL_POOLINGS, backbone)
        loaded = LanguageModel.from_pretrained(
            directory, separator=separator, max_tokens=max_tokens
        )
        described = loaded.network.config.to_diff_dict()
        config = AirRepConfig(
            backbone={**described, "model_type": loaded.network.config.model_type},
            token_pooling=wanted,
            template=TextTemplate.verbatim(loaded.format.max_tokens).to_dict(),
            separator=separator,
            hidden_size=loaded.network.config.hidden_size,
            num_attention_heads=loaded.network.config.num_attention_heads,
            vocab_size=loaded.network.config.vocab_size,
        )
        network, tokenizer = loaded.network, loaded.tokenizer
        shape = (network.config.hidden_size, network.config.num_hidden_layers)
        prediction = PredictionPooling(*shape) if wanted == "prediction" else None
        gradient = GradientPooling(network) if wanted == "gradient" else None
    with torch.device("meta"):
        model = AirRepModel(config)
    model.bert, model.prediction, model.gradient = network, prediction, gradient
    # the same every time: the encoder's fingerprint names a training run
    model.projector = nn.Linear(model.projector.in_features, model.projector.out_features)
    nn.init.zeros_(model.projector.weight)
    nn.init.zeros_(model.projector.bias)
    return AirRep(model.to(network.device).eval(), tokenizer, str(backbone))


def _check(wanted: str, known: tuple[str, ...], backbone: str | Path) -> None:
    if wanted not in known:
        raise ArgumentError(
            f"token_pooling {wanted!r} is not for {backbone}; choose {' or '.join(known)}."
        )
