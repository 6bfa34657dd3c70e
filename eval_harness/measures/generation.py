"""Answers of a language model: greedy decoding in the format it was trained in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from transformers import GenerationConfig, PreTrainedModel

from airrep.errors import ArgumentError, RecordError
from airrep.language_model.batching import plan_batches
from airrep.language_model.losses import evaluation_mode
from airrep.language_model.model import LanguageModel
from airrep.records import Example


def generate(
    model: LanguageModel,
    examples: Sequence[Example],
    *,
    max_new_tokens: int = 64,
    batch_size: int = 16,
) -> list[str]:
    """The most likely completion of each prompt, token by token, up to the end of the text.

    The model sees the prompt as in training; where prompt and answer would not fit its positions,
    the front of the prompt goes. Of the checkpoint's generation config only the end-of-text tokens
    are used: no sampling, no penalties. The texts are the same at every run; `batch_size` and order
    matter only where the two best tokens are within rounding of each other.

    Args:
        model: Computes in the dtype of its weights; it is left as it was.
        examples: Rows with prompts; none gives an empty list.
        max_new_tokens: At which a completion is cut.
        batch_size: Prompts at a time, all of nearly one length.

    Returns:
        The completions without special tokens, in the order of `examples`.

    Raises:
        ArgumentError: `max_new_tokens` or `batch_size` is below 1, or leaves no place for a prompt.
        RecordError: An example has no prompt or no completion.

    Example:
        >>> rows = [Example("0", "What is green?", "leaves"), Example("1", "Is it so?", "yes")]
        >>> len(generate(model, rows, max_new_tokens=4))
        2
    """
    if min(max_new_tokens, batch_size) < 1:
        raise ArgumentError(
            f"max_new_tokens is {max_new_tokens} and batch_size {batch_size}; expected at least 1."
        )
    config = model.network.config.get_text_config()
    longest = getattr(config, "max_position_embeddings", 1 << 30) - max_new_tokens
    if longest < 1:
        raise ArgumentError(
            f"max_new_tokens is {max_new_tokens}, but {model.name} has only "
            f"{longest + max_new_tokens} positions for prompt and completion."
        )
    check_prompts(examples)
    asked = model.tokenize([example.pair for example in examples])
    prompts = [tokens.ids[: tokens.start][-longest:] for tokens in asked]
    texts = [""] * len(prompts)
    with evaluation_mode(model.network), _greedy(model, max_new_tokens), torch.inference_mode():
        for length, members in plan_batches([len(p) for p in prompts], 1 << 62, longest):
            for i in range(0, len(members), batch_size):
                rows = members[i : i + batch_size]
                answers = _batch(model, [prompts[row] for row in rows], length)
                for row, text in zip(rows, answers, strict=True):
                    texts[row] = text
    return texts


def check_prompts(examples: Sequence[Example]) -> None:
    """Refuse rows of plain text, which ask nothing.

    Raises:
        RecordError: An example's prompt is empty.

    Example:
        >>> check_prompts([Example("0", "Is it so?", "yes")])
    """
    for i, example in enumerate(examples):
        if not example.prompt:
            raise RecordError(
                f"example {i} (id {example.id!r}, row {example.row}): expected a prompt to answer, "
                "found plain text. Use completion_losses for such rows."
            )


@contextmanager
def _greedy(model: LanguageModel, max_new_tokens: int) -> Iterator[None]:
    """The network with a generation config that says nothing but greedy; its own at the end."""
    network: PreTrainedModel = model.network
    own = network.generation_config
    network.generation_config = GenerationConfig(
        do_sample=False,
        num_beams=1,
        use_cache=True,
        max_new_tokens=max_new_tokens,
        pad_token_id=model.tokenizer.pad_token_id,
        eos_token_id=_ends(model),
    )
    try:
        yield
    finally:
        network.generation_config = own


def _ends(model: LanguageModel) -> list[int]:
    """Tokens that end a text: the tokenizer's, and the generation config's (a turn's end)."""
    also = getattr(model.network.generation_config, "eos_token_id", None)
    others = also if isinstance(also, list) else [] if also is None else [also]
    return sorted({int(model.tokenizer.eos_token_id), *others})


def _batch(model: LanguageModel, prompts: list[list[int]], length: int) -> list[str]:
    ids = np.full((len(prompts), length), model.tokenizer.pad_token_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, length - len(prompt) :] = prompt
        mask[row, length - len(prompt) :] = 1
    device = model.network.device
    output = model.network.generate(
        inputs=torch.from_numpy(ids).to(device),
        attention_mask=torch.from_numpy(mask).to(device),
        generation_config=model.network.generation_config,
    )
    ends = set(model.network.generation_config.eos_token_id)
    texts = []
    for answer in output[:, length:].tolist():
        stop = next((i for i, token in enumerate(answer) if token in ends), len(answer))
        text = model.tokenizer.decode(
            answer[:stop], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        texts.append(text)
    return texts
