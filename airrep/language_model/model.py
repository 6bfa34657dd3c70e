"""Causal language models, and examples as the tokens they are trained and judged on.

One rule serves fine-tuning, losses, gradients and generation, and gives the tokens that TRL makes
of the same rows: with a chat template, the prompt is the user's turn and the completion the
assistant's; without one, the text is prompt + separator + completion + end-of-text token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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

from airrep.errors import ArgumentError, CheckpointError, RecordError
from airrep.language_model.checkpoint_files import read_config
from airrep.language_model.fingerprints import model_fingerprint
from airrep.language_model.loading import find_checkpoint, load_weights
from airrep.machine.hardware import default_device
from airrep.records import Example
from airrep.template import text_fingerprint


@dataclass(frozen=True, slots=True)
class Tokens:
    """An example's tokens.

    Attributes:
        ids: Prompt and completion, with the special tokens of the model's format.
        start: Position of the first completion token; at least 1, so that it is predicted.
    """

    ids: list[int]
    start: int

    @property
    def completion(self) -> list[int]:
        """The tokens that count in the loss."""
        return self.ids[self.start :]


@dataclass(frozen=True, slots=True)
class LanguageModelFormat:
    """How an example becomes tokens.

    Attributes:
        separator: Between prompt and completion, for tokenizers without a chat template.
        max_tokens: Longer examples lose tokens from the front of the prompt first, then from the
            end of the completion.
    """

    separator: str = "\n"
    max_tokens: int = 1024

    def __post_init__(self) -> None:
        if self.max_tokens < 2:
            raise ArgumentError(
                f"max_tokens is {self.max_tokens}; an example needs at least 2 tokens."
            )


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
        separator: str = "\n",
        max_tokens: int = 1024,
        device: str | torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> LanguageModel:
        """Load a model by directory or hub id; safetensors only, no code from the checkpoint.

        Args:
            path_or_id: Directory, or model id on the Hugging Face hub (downloaded).
            separator: See `LanguageModelFormat`.
            max_tokens: See `LanguageModelFormat`; at most what the model was built for.
            device: Where to compute; default the process's GPU if there is one, else the CPU.
            dtype: Dtype of the weights.

        Raises:
            MissingInputError: No such checkpoint.
            CheckpointError: Not a causal language model, or no padding or end-of-text token.
        """
        directory = find_checkpoint(path_or_id)
        network = load_weights(AutoModelForCausalLM, directory, dtype)
        network = network.to(device if device is not None else default_device()).eval()
        tokenizer = _read_tokenizer(directory, str(path_or_id))
        made = LanguageModelFormat(separator, _bounded(max_tokens, network.config))
        return cls(network, tokenizer, str(path_or_id), made)

    @cached_property
    def fingerprint(self) -> str:
        """Equal for equal losses: weights, config, tokenizer, chat template and format."""
        parts = (
            model_fingerprint(self.network, self.tokenizer),
            self.format.separator,
            str(self.format.max_tokens),
            str(self.tokenizer.chat_template),
        )
        return text_fingerprint("\0".join(parts)).hex()

    def tokenize(self, examples: Sequence[Example]) -> list[Tokens]:
        """The examples' tokens, in order.

        Raises:
            RecordError: An example's completion is empty, or holds no token of its own.
        """
        for i, example in enumerate(examples):
            if not example.completion.strip():
                raise RecordError(
                    f"example {i} (id {example.id!r}, row {example.row}): the completion is empty; "
                    "there is nothing to learn from it or to predict. Remove the row."
                )
        if not examples:
            return []
        chat = self.tokenizer.chat_template is not None
        prompts, wholes = (self._chat if chat else self._plain)(examples)
        return [self._cut(*pair) for pair in zip(examples, prompts, wholes, strict=True)]

    def _plain(self, examples: Sequence[Example]) -> tuple[list[list[int]], list[list[int]]]:
        prompts = [e.prompt + self.format.separator if e.prompt else "" for e in examples]
        end = self.tokenizer.eos_token
        wholes = [
            prompt + e.completion + ("" if e.completion.endswith(end) else end)
            for prompt, e in zip(prompts, examples, strict=True)
        ]
        return self._ids(prompts), self._ids(wholes)

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return self.tokenizer(texts, verbose=False)["input_ids"]

    def _chat(self, examples: Sequence[Example]) -> tuple[list[list[int]], list[list[int]]]:
        def render(turns: list[list[dict[str, str]]], **options: bool) -> list[list[int]]:
            return self.tokenizer.apply_chat_template(
                turns,
                tokenize=True,
                return_dict=True,
                tokenizer_kwargs={"verbose": False},
                **options,
            )["input_ids"]

        asked = [[{"role": "user", "content": e.prompt}] if e.prompt else [] for e in examples]
        answers = [{"role": "assistant", "content": e.completion} for e in examples]
        answered = [[*q, a] for q, a in zip(asked, answers, strict=True)]
        prompts = [render([q], add_generation_prompt=True)[0] if q else [] for q in asked]
        return prompts, render(answered)

    def _cut(self, example: Example, prompt: list[int], whole: list[int]) -> Tokens:
        start = 0
        for mine, both in zip(prompt, whole, strict=False):
            if mine != both:
                break
            start += 1
        start = max(start, 1)
        if start >= len(whole):
            raise RecordError(
                f"example {example.id!r} (row {example.row}): its completion leaves no token to "
                "predict after tokenization; remove the row."
            )
        most = self.format.max_tokens
        if len(whole) > most:
            kept = min(len(whole) - start, most - 1)
            front = start - (most - kept)
            return Tokens(whole[front : front + most], most - kept)
        return Tokens(whole, start)


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
    read_config(directory)
    try:
        config = AutoConfig.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
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


def _read_tokenizer(directory: Path, name: str) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{name}: no tokenizer could be read ({error}).") from error
    check_tokenizer(tokenizer, name)
    return tokenizer


def _bounded(max_tokens: int, config: PreTrainedConfig) -> int:
    """No more than the model was built for."""
    return min(max_tokens, getattr(config, "max_position_embeddings", max_tokens))


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Refuse a tokenizer that cannot make batches of finished examples.

    Raises:
        CheckpointError: It has no padding token, or no end-of-text token.
    """
    for kind, token in (("padding", "pad_token"), ("end-of-text", "eos_token")):
        if getattr(tokenizer, token) is None:
            raise CheckpointError(
                f"{name}: the tokenizer has no {kind} token. Set one and save it: "
                f"tokenizer.{token} = ...; tokenizer.save_pretrained({name!r})."
            )
