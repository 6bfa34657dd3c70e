"""What training starts from: a sentence encoder with another token pooling, or a language model."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from airrep.checkpoint import SENTENCE_BACKBONES, find_checkpoint
from airrep.encoder import AirRep
from airrep.errors import ArgumentError, CheckpointError
from airrep.language_model import LanguageModel
from airrep.modeling import AirRepConfig, AirRepModel
from airrep.template import TextTemplate
from airrep.token_pooling import LANGUAGE_MODEL_POOLING, SENTENCE_POOLINGS


def starting_point(
    backbone: str | Path,
    *,
    token_pooling: str | None = None,
    separator: str = "\n",
    max_tokens: int = 512,
) -> AirRep:
    """An encoder in float32 whose projector is still to be made (see `airrep.training`).

    Args:
        backbone: Directory or hub id of a sentence encoder, of a checkpoint of ours, or of the
            causal language model that will be fine-tuned.
        token_pooling: See `airrep.token_pooling`; default "segments", or "prediction" for a
            language model.
        separator: For a language model without a chat template: between prompt and completion.
        max_tokens: Longer texts are cut.

    Raises:
        MissingInputError: No such checkpoint.
        CheckpointError: It cannot be loaded.
        ArgumentError: A pooling that this backbone does not have.
    """
    directory = find_checkpoint(backbone)
    if _is_sentence_encoder(directory):
        wanted = token_pooling or "segments"
        _check(wanted, SENTENCE_POOLINGS, backbone)
        encoder = AirRep.from_pretrained(directory, dtype="float32")
        if encoder.model.config.token_pooling == LANGUAGE_MODEL_POOLING:
            _check(wanted, (LANGUAGE_MODEL_POOLING,), backbone)
        known = encoder.model.config.text_template()
        template = TextTemplate(
            known.prompt_prefix, known.completion_prefix, known.prompt_words, max_tokens
        )
        config = AirRepConfig(
            **{
                **encoder.model.config.to_dict(),
                "token_pooling": wanted,
                "template": template.to_dict(),
            }
        )
        model = AirRepModel(config)
        model.bert = encoder.model.bert
        tokenizer = encoder.tokenizer
    else:
        _check(token_pooling or LANGUAGE_MODEL_POOLING, (LANGUAGE_MODEL_POOLING,), backbone)
        loaded = LanguageModel.from_pretrained(
            directory, separator=separator, max_tokens=max_tokens
        )
        described = loaded.network.config.to_diff_dict()
        config = AirRepConfig(
            backbone={**described, "model_type": loaded.network.config.model_type},
            token_pooling=LANGUAGE_MODEL_POOLING,
            template=TextTemplate.verbatim(loaded.format.max_tokens).to_dict(),
            separator=separator,
            hidden_size=loaded.network.config.hidden_size,
            num_attention_heads=loaded.network.config.num_attention_heads,
            vocab_size=loaded.network.config.vocab_size,
        )
        model = AirRepModel(config)
        model.bert = loaded.network
        tokenizer = loaded.tokenizer
    device = model.bert.device
    return AirRep(model.to(device=device, dtype=torch.float32).eval(), tokenizer, str(backbone))


def _is_sentence_encoder(directory: Path) -> bool:
    file = directory / "config.json"
    try:
        kind = json.loads(file.read_text("utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file}: no model_type can be read ({error!r}).") from error
    return kind in (*SENTENCE_BACKBONES, AirRepConfig.model_type)


def _check(wanted: str, known: tuple[str, ...], backbone: str | Path) -> None:
    if wanted not in known:
        raise ArgumentError(
            f"token_pooling {wanted!r} is not for {backbone}; choose {' or '.join(known)}."
        )
