"""Causal language models with their tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from airrep.errors import CheckpointError
from airrep.language_model.checkpoint_files import read_config
from airrep.language_model.fingerprints import model_fingerprint
from airrep.language_model.gguf import is_gguf, local_files, own_tokens, read_gguf_config, reading
from airrep.language_model.loading import find_checkpoint, load_weights
from airrep.language_model.tokens import LanguageModelFormat, Tokens, tokens_of
from airrep.language_model.weights import hold_in, loaded_in
from airrep.machine.number_types import ModelDtype
from airrep.machine.placement import DeviceMap, place
from airrep.records import Example
from airrep.template import text_fingerprint


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A causal language model with its tokenizer.

    Attributes:
        network: The model, in evaluation mode.
        tokenizer: It has a padding and an end-of-text token.
        name: Where the model came from.
        format: How examples become tokens.
    """

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    format: LanguageModelFormat

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str | Path,
        *,
        separator: str = "",
        max_tokens: int = 1024,
        assistant_only_loss: bool = False,
        device: str | torch.device | None = None,
        device_map: DeviceMap | None = None,
        dtype: torch.dtype | ModelDtype = torch.float32,
    ) -> LanguageModel:
        """Load a model; safetensors or GGUF only, no code from the checkpoint.

        Args:
            path_or_id: Directory, GGUF file, or model id on the Hugging Face hub (downloaded).
            separator: See `LanguageModelFormat`.
            max_tokens: See `LanguageModelFormat`; at most what the model was built for.
            assistant_only_loss: See `LanguageModelFormat`.
            device: Where to compute; default the process's GPU if there is one, else the CPU.
            device_map: For scoring alone, in place of `device`: where each part of the network is,
                by the names of modules, or "auto": spread over the GPUs that there are. Default
                "auto" where one process has several GPUs, and the weights do not fit into one.
            dtype: Number type of the weights. "int8" and "int4" are those of the linear layers in
                the blocks, for scoring alone; all else is bfloat16 then.

        Raises:
            ArgumentError: The dtype is unknown or does not suit the model, `device` and
                `device_map` are both given, or it is a GGUF file and gguf is not installed.
            MissingInputError: No such checkpoint.
            CheckpointError: Not a causal language model, no end-of-text token, or a tokenizer with
                more tokens than the model has embeddings.
        """
        directory = find_checkpoint(path_or_id)
        whole = loaded_in(dtype) if isinstance(dtype, str) else dtype
        network = load_weights(AutoModelForCausalLM, directory, whole)
        if isinstance(dtype, str):
            hold_in(network, dtype)
        tokenizer = _read_tokenizer(directory, str(path_or_id))
        _check_size(tokenizer, network, str(path_or_id))
        place(network.eval(), device, device_map)
        longest = _bounded(max_tokens, network.config)
        made = LanguageModelFormat(separator, longest, assistant_only_loss)
        return cls(network, tokenizer, str(path_or_id), made)

    def held_in(self, dtype: ModelDtype) -> LanguageModel:
        """The model with its weights in another number type; this one is of no use afterwards.

        Raises:
            ArgumentError: The dtype is unknown or does not suit the model.
        """
        hold_in(self.network, dtype)
        return replace(self)

    @cached_property
    def fingerprint(self) -> str:
        """Equal for equal losses: weights, config, tokenizer, chat template and format."""
        parts = (
            model_fingerprint(self.network, self.tokenizer),
            self.format.separator,
            str(self.format.max_tokens),
            str(self.tokenizer.chat_template),
            "tokens as TRL makes them" + ", the assistant's" * self.format.assistant_only_loss,
        )
        return text_fingerprint("\0".join(parts)).hex()

    def tokenize(self, examples: Sequence[Example]) -> list[Tokens]:
        """The examples' tokens, in order.

        Raises:
            RecordError: See `airrep.language_model.tokens.tokens_of`.
            CheckpointError: See there.
        """
        return tokens_of(self.tokenizer, examples, self.format, self.name) if examples else []

    tokenise = tokenize  # the name that scripts written for earlier versions call


def count_tokens(
    path_or_id: str | Path, examples: Sequence[Example], *, max_tokens: int = 1024
) -> list[int]:
    """How many tokens each example has in training; reads no weights.

    Args:
        path_or_id: See `LanguageModel.from_pretrained`.
        examples: What to count.
        max_tokens: See `LanguageModelFormat`; longer examples count as cut.

    Raises:
        MissingInputError: No such checkpoint.
        CheckpointError: Not a causal language model, or no padding or end-of-text token.
        RecordError: See `LanguageModel.tokenize`.
    """
    directory = find_checkpoint(path_or_id)
    try:
        config = network_config(directory)
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path_or_id}: not a causal language model that can be read ({error})."
        ) from error
    tokenizer = _read_tokenizer(directory, str(path_or_id))
    made = LanguageModelFormat(max_tokens=_bounded(max_tokens, config))
    model = LanguageModel(network, tokenizer, str(path_or_id), made)
    return [len(tokens.ids) for tokens in model.tokenize(examples)]


def network_config(place: Path) -> PreTrainedConfig:
    """The config of what `find_checkpoint` found.

    Raises:
        ArgumentError: See `airrep.language_model.checkpoint_files.read_config`.
        CheckpointError: See there.
    """
    read_config(place)
    return (
        read_gguf_config(place)
        if is_gguf(place)
        else AutoConfig.from_pretrained(**local_files(place))
    )


def _read_tokenizer(directory: Path, name: str) -> PreTrainedTokenizerBase:
    try:
        with reading(directory):
            tokenizer = AutoTokenizer.from_pretrained(**local_files(directory))
        if is_gguf(directory):
            own_tokens(tokenizer, read_gguf_config(directory).vocab_size)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{name}: no tokenizer could be read ({error}).") from error
    check_tokenizer(tokenizer, name)
    return tokenizer


def _bounded(max_tokens: int, config: PreTrainedConfig) -> int:
    """No more than the model was built for."""
    return min(max_tokens, getattr(config, "max_position_embeddings", max_tokens))


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Refuse a tokenizer without an end; without padding, the end serves as padding, as in TRL.

    Raises:
        CheckpointError: It has no end-of-text token.
    """
    if tokenizer.eos_token is None:
        raise CheckpointError(
            f"{name}: the tokenizer has no end-of-text token. Set one and save it: "
            f"tokenizer.eos_token = ...; tokenizer.save_pretrained({name!r})."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token


def _check_size(tokenizer: PreTrainedTokenizerBase, network: PreTrainedModel, name: str) -> None:
    embeddings = network.get_input_embeddings()
    known = getattr(embeddings, "num_embeddings", len(tokenizer))
    if len(tokenizer) > known:
        raise CheckpointError(
            f"{name}: the tokenizer has {len(tokenizer):,} tokens, and the model embeddings for "
            f"{known:,}. Make room and save it: model.resize_token_embeddings({len(tokenizer)}); "
            f"model.save_pretrained({name!r})."
        )
