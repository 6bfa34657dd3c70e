"""The text that stands for an example.

One template serves scoring, stores and training. It is part of the checkpoint's config, so a
model, a store and a score cannot disagree about what was read.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Annotated, Any

from msgspec import Meta

from airrep.errors import ArgumentError, CheckpointError
from airrep.records import Example, normalize
from airrep.schema import Count, check_fields

_MARK = "\x1e"  # ASCII's record separator
COMPLETION_SHARE = 0.5  # of encoders that are made now; the released one keeps no share
_JSON = "\x1d"  # ASCII's group separator: what follows is a record


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """Example -> text, with the defaults of the released AirRep model.

    Attributes:
        prompt_prefix: Put before the prompt.
        completion_prefix: Put between prompt and completion.
        prompt_words: The prompt is cut after this many whitespace-separated words, which are joined
            by single spaces; None takes the prompt as it is.
        max_tokens: The text is cut after this many tokens, special tokens (two, with BERT)
            included.
        completion_share: A text that is too long loses the end of its prompt first, until the
            completion has this share of `max_tokens` (or all that it needs), and then the end of
            its completion. None cuts the end of the text, whatever stands there. Only for templates
            that are `separable`.

    Example:
        >>> from airrep import Example
        >>> print(TextTemplate().render(Example("0", "Two and two?", "Four.")))
        Question: Two and two?
        Answer: Four.
    """

    prompt_prefix: str = "Question: "
    completion_prefix: str = "\nAnswer: "
    prompt_words: Count | None = 256
    max_tokens: Annotated[int, Meta(ge=3)] = 512
    completion_share: Annotated[float, Meta(gt=0, lt=1)] | None = None

    def __post_init__(self) -> None:
        try:
            check_fields(self, "template")
        except ArgumentError as error:
            raise CheckpointError(str(error)) from None
        if self.completion_share is not None and not self.separable:
            raise CheckpointError(
                "template.completion_share: expected a completion_prefix that no rendered prompt "
                f"can hold, found {self.completion_prefix!r}; put a line break into it, or leave "
                "out the share."
            )

    def render(self, example: Example) -> str:
        """The example's text. A record without a prompt (plain text) is its completion alone.

        A `verbatim` template keeps all that is trained on: of a conversation, its record as JSON.
        """
        if self.prompt_words is None and self.completion_prefix == _MARK:
            example = _whole(example)
        if not example.prompt:
            text = example.completion
            if self.prompt_words is None and self.separable and self.split(text) != ("", text):
                return f"{self.prompt_prefix}{self.completion_prefix}{text}"  # it holds the mark
            return text
        prompt = example.prompt
        if self.prompt_words is not None:
            prompt = " ".join(prompt.split()[: self.prompt_words])
        elif self.separable:
            prompt = prompt.replace(_MARK, " ")
        return f"{self.prompt_prefix}{prompt}{self.completion_prefix}{example.completion}"

    @property
    def separable(self) -> bool:
        """Whether a rendered text says where its completion starts.

        It does if `completion_prefix` holds a character that no rendered prompt can hold.
        """
        if self.prompt_words is None:
            return _MARK in self.completion_prefix
        return any(c.isspace() and c != " " for c in self.completion_prefix)

    def split(self, text: str) -> tuple[str, str]:
        """A rendered text's prompt and completion; any other text is all completion.

        Only for templates that are `separable`.
        """
        begin = len(self.prompt_prefix)
        prompt, mark, completion = text[begin:].partition(self.completion_prefix)
        if not mark or not text.startswith(self.prompt_prefix):
            return "", text
        return prompt, completion

    def example(self, text: str) -> Example:
        """The example of a rendered text, as far as the text knows it; for `verbatim` templates."""
        prompt, completion = self.split(text)
        if completion.startswith(_JSON):
            return normalize(json.loads(completion.removeprefix(_JSON)))
        return Example("", prompt, completion)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the checkpoint's config; as released where no share is kept."""
        values = asdict(self)
        if self.completion_share is None:
            del values["completion_share"]
        return values

    @classmethod
    def verbatim(cls, max_tokens: int) -> TextTemplate:
        """For models that bring a format of their own: prompt and completion, only marked off."""
        return cls("", _MARK, None, max_tokens)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TextTemplate:
        """The template that `to_dict` described.

        Raises:
            CheckpointError: A setting this version does not know, or a value out of range.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise CheckpointError(
                f"the checkpoint's text template {values} is not understood ({error}); it may come "
                "from a newer version of airrep-curate."
            ) from None

    @property
    def fingerprint(self) -> str:
        """Changes whenever any text could come out differently."""
        return blake2b(json.dumps(self.to_dict()).encode(), digest_size=16).hexdigest()


def _whole(example: Example) -> Example:
    """Prompt and completion that hold all of an example's record."""
    record = example.trl
    if all(isinstance(value, str) for value in record.values()) and "chosen" not in record:
        answer = record.get("text") or record.get("completion") or example.completion
        return Example("", record.get("prompt", ""), answer)
    return Example("", "", _JSON + json.dumps(record, ensure_ascii=False, default=str))


def text_fingerprint(text: str) -> bytes:
    """A 16-byte digest that names a text by its content."""
    return blake2b(text.encode("utf-8"), digest_size=16).digest()
