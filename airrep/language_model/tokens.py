"""Examples as the tokens that stock TRL trains on.

One rule serves fine-tuning, losses, gradients and generation, and it is `SFTTrainer`'s: of plain
text and of conversations every token counts in the loss, or of conversations the assistant's
alone; of prompt and completion the completion's. Conversations go through the chat template, with
the row's tools and template arguments; text does not, and ends in the end-of-text token.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from airrep.console.wording import shortened
from airrep.errors import ArgumentError, CheckpointError, RecordError
from airrep.records import Example

_REASON = 300  # characters of what a template says


@dataclass(frozen=True, slots=True)
class Tokens:
    """An example's tokens.

    Attributes:
        ids: Prompt and completion, with the special tokens of the model's format.
        start: Position of the first token that counts in the loss; at least 1, so that it is
            predicted.
        silent: Positions after `start` that do not count: turns of others, in between.
    """

    ids: list[int]
    start: int
    silent: tuple[int, ...] = ()

    @property
    def trained(self) -> list[int]:
        """Positions of the tokens that count in the loss."""
        silent = set(self.silent)
        return [i for i in range(self.start, len(self.ids)) if i not in silent]

    @property
    def completion(self) -> list[int]:
        """The tokens that count in the loss."""
        return [self.ids[i] for i in self.trained]


@dataclass(frozen=True, slots=True)
class LanguageModelFormat:
    """How an example becomes tokens.

    Attributes:
        separator: Between a prompt and a completion of text; "" as in TRL.
        max_tokens: Longer examples lose their end, as in TRL. Where nothing that counts would be
            left (TRL drops such rows), they lose the front of the prompt, then the end of the
            completion.
        assistant_only_loss: Whether of conversations only the assistant's tokens count, which
            takes a chat template that marks them by {% generation %}.
    """

    separator: str = ""
    max_tokens: int = 1024
    assistant_only_loss: bool = False

    def __post_init__(self) -> None:
        if self.max_tokens < 2:
            raise ArgumentError(
                f"max_tokens is {self.max_tokens}; an example needs at least 2 tokens."
            )


@dataclass(frozen=True, slots=True)
class _Read:
    """An example's prompt ("" or [] where all counts) and all of it, as text or as messages."""

    example: Example
    prompt: Any
    whole: Any

    @property
    def chat(self) -> bool:
        return not isinstance(self.whole, str)

    @property
    def options(self) -> dict[str, Any]:
        """What its chat template is given besides the messages."""
        record = self.example.trl
        tools = record.get("tools")
        options = {"tools": json.loads(tools) if isinstance(tools, str) else tools}
        options |= record.get("chat_template_kwargs") or {}
        return {name: value for name, value in options.items() if value is not None}


def tokens_of(
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    made: LanguageModelFormat,
    name: str,
) -> list[Tokens]:
    """The examples' tokens, in order.

    Args:
        tokenizer: It has an end-of-text token; for conversations a chat template.
        examples: What to read.
        made: How.
        name: The model's name, for messages.

    Raises:
        RecordError: An example has no completion, or none that leaves a token of its own; or the
            chat template refuses it.
        CheckpointError: There is no chat template, or none that marks what counts.
    """
    reads = [_read(i, example, made.separator) for i, example in enumerate(examples)]
    prompts: list[list[int]] = [[] for _ in reads]
    wholes: list[list[int]] = [[] for _ in reads]
    masks: list[list[int] | None] = [None for _ in reads]
    texts = [i for i, read in enumerate(reads) if not read.chat]
    if texts:
        ends = _texts(tokenizer, [_ended(reads[i].whole, tokenizer.eos_token) for i in texts])
        begins = _texts(tokenizer, [reads[i].prompt for i in texts])
        for i, begin, end in zip(texts, begins, ends, strict=True):
            prompts[i], wholes[i] = begin if reads[i].prompt else [], end
    chats = [i for i, read in enumerate(reads) if read.chat]
    if chats:
        _check_template(tokenizer, made, name)
        rendered = _rendered(tokenizer, [reads[i] for i in chats], made.assistant_only_loss, name)
        for i, (begin, end, mask) in zip(chats, rendered, strict=True):
            prompts[i], wholes[i], masks[i] = begin, end, mask
    found = zip(examples, prompts, wholes, masks, strict=True)
    return [_cut(*each, made.max_tokens) for each in found]


def _read(number: int, example: Example, separator: str) -> _Read:
    record = example.trl
    if "text" in record:
        whole: Any = record["text"]
        prompt: Any = ""
    elif "messages" in record:
        prompt, whole = [], record["messages"]
    elif "completions" in record:
        prompt = record["prompt"]
        whole = prompt + "\n".join(record["completions"])
    else:
        answer = record.get("completion", record.get("chosen"))
        if answer is None:
            raise RecordError(_without_completion(number, example))
        prompt = record.get("prompt")
        if prompt is None:  # a preference whose answers begin with the prompt
            prompt, answer = ("", answer) if isinstance(answer, str) else (answer[:-1], answer[-1:])
        if isinstance(answer, str):
            prompt = prompt + separator if prompt else prompt
            whole = prompt + answer
        else:
            whole = [*prompt, *answer]
    if not example.completion.strip():
        raise RecordError(_without_completion(number, example))
    return _Read(example, prompt, whole)


def _without_completion(number: int, example: Example) -> str:
    return (
        f"example {number} (id {example.id!r}, row {example.row}): the completion is empty; "
        "there is nothing to learn from it or to predict. Remove the row."
    )


def _ended(text: str, end: str) -> str:
    return text if text.endswith(end) else text + end


def _texts(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    return tokenizer(texts, verbose=False)["input_ids"]


def _check_template(
    tokenizer: PreTrainedTokenizerBase, made: LanguageModelFormat, name: str
) -> None:
    if tokenizer.chat_template is None:
        raise CheckpointError(
            f"{name}: the rows are conversations, and the tokenizer has no chat template, without "
            "which TRL cannot train on them either. Set tokenizer.chat_template and save it, or "
            "give rows of prompt and completion as text."
        )
    if made.assistant_only_loss and "generation %}" not in str(tokenizer.chat_template):
        raise CheckpointError(
            f"{name}: the chat template does not mark the assistant's tokens by "
            "{% generation %}, which assistant_only_loss needs. Save the tokenizer with a template "
            "that does; trl.chat_template_utils.get_training_chat_template has one for many models."
        )


_Rendered = tuple[list[int], list[int], "list[int] | None"]


def _rendered(
    tokenizer: PreTrainedTokenizerBase, reads: Sequence[_Read], masked: bool, name: str
) -> Iterator[_Rendered]:
    """Prompt, whole and mask of conversations; all at once where none has arguments of its own."""

    def render(turns: list[Any], **options: Any) -> Mapping[str, Any]:  # noqa: ANN401
        return tokenizer.apply_chat_template(
            turns, tokenize=True, return_dict=True, tokenizer_kwargs={"verbose": False}, **options
        )

    def one(read: _Read) -> _Rendered:
        try:
            whole = render(read.whole, return_assistant_tokens_mask=masked, **read.options)
            prompt: list[int] = []
            if read.prompt:
                asked = render(read.prompt, add_generation_prompt=True, **read.options)
                prompt = asked["input_ids"]
        except Exception as error:  # of any kind: templates are programs
            raise RecordError(
                f"the chat template of {name} refuses this row ({shortened(error, _REASON)})",
                where=f"example {read.example.id!r} (row {read.example.row})",
                remedy="Mend it, rename its roles, or use a model whose template takes it",
            ) from error
        return prompt, whole["input_ids"], whole["assistant_masks"] if masked else None

    if masked or any(read.options for read in reads):
        yield from map(one, reads)
        return
    try:
        wholes = render([read.whole for read in reads])["input_ids"]
        asked = [read.prompt for read in reads if read.prompt]
        prompts = iter(render(asked, add_generation_prompt=True)["input_ids"] if asked else ())
    except Exception:  # of any kind; one by one, the row that it is about can be named
        yield from map(one, reads)
        return
    for read, whole in zip(reads, wholes, strict=True):
        yield (next(prompts) if read.prompt else []), whole, None


def _cut(
    example: Example, prompt: list[int], whole: list[int], mask: list[int] | None, most: int
) -> Tokens:
    pairs = enumerate(zip(prompt, whole, strict=False))
    start = next((i for i, (mine, both) in pairs if mine != both), min(len(prompt), len(whole)))
    start = max(start, 1)
    silent: tuple[int, ...] = ()
    if mask is not None:
        start = next((i for i in range(start, len(whole)) if mask[i]), len(whole))
        silent = tuple(i for i in range(start, len(whole)) if not mask[i])
    if start >= len(whole):
        raise RecordError(
            f"example {example.id!r} (row {example.row}): its completion leaves no token to "
            "predict after tokenization; remove the row."
        )
    if len(whole) <= most:
        return Tokens(whole, start, silent)
    if start < most:
        return Tokens(whole[:most], start, tuple(i for i in silent if i < most))
    kept = min(len(whole) - start, most - 1)
    front = start - (most - kept)
    inside = tuple(i - front for i in silent if i < front + most)
    return Tokens(whole[front : front + most], most - kept, inside)
