"""Texts to the tokens that a checkpoint's backbone reads: one rule for scoring and training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from transformers import PreTrainedTokenizerBase

from airrep.errors import CheckpointError
from airrep.language_model.model import LanguageModel, LanguageModelFormat, Tokens, check_tokenizer
from airrep.network.modeling import AirRepModel
from airrep.network.token_pooling import LANGUAGE_MODEL_POOLINGS
from airrep.records import Example
from airrep.template import TextTemplate

_POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet")


class Reader(Protocol):
    """How texts become tokens.

    Attributes:
        longest: The most tokens a text can have.
    """

    longest: int

    def tokens(self, texts: Sequence[str]) -> list[Tokens]:
        """Each text's tokens, and where its completion starts."""
        ...


class SentenceReader:
    """For sentence encoders: the rendered text, cut at the end."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, template: TextTemplate, longest: int
    ) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self.longest = longest

    def tokens(self, texts: Sequence[str]) -> list[Tokens]:
        """See `Reader`. A text of no known template is all completion."""
        if not texts:
            return []
        separable = self._template.separable
        read = self._tokenizer(
            list(texts),
            truncation=True,
            max_length=self.longest,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            return_offsets_mapping=separable,
        )
        if not separable:
            return [Tokens(ids, 0) for ids in read["input_ids"]]
        return [
            Tokens(ids, completion_start(self._template, text, spans))
            for text, ids, spans in zip(
                texts, read["input_ids"], read["offset_mapping"], strict=True
            )
        ]


def completion_start(template: TextTemplate, text: str, spans: Sequence[Sequence[int]]) -> int:
    """Position of the first token that is the completion's: 0 in a text of no known template.

    Args:
        template: A separable one.
        text: What was tokenized.
        spans: Begin and end in the text of each token; special tokens and padding span nothing.
    """
    prompt, completion = template.split(text)
    if not prompt and len(completion) == len(text):
        return 0
    begin = len(text) - len(completion)
    return next((i for i, (_, end) in enumerate(spans) if end > begin), len(spans))


class LanguageModelReader:
    """For language models: prompt and completion in the format that the model is trained on.

    Attributes:
        model: Backbone and tokenizer.
    """

    def __init__(self, model: LanguageModel, template: TextTemplate) -> None:
        self.model = model
        self._template = template
        self.longest = model.format.max_tokens

    def tokens(self, texts: Sequence[str]) -> list[Tokens]:
        """See `Reader`.

        Raises:
            RecordError: A text has no completion.
        """
        pairs = [self._template.split(text) for text in texts]
        return self.model.tokenize(
            [
                Example(id=str(i), prompt=prompt, completion=completion, source="", row=i)
                for i, (prompt, completion) in enumerate(pairs)
            ]
        )


def make_reader(model: AirRepModel, tokenizer: PreTrainedTokenizerBase, name: str) -> Reader:
    """The reader that a checkpoint's config asks for.

    Raises:
        CheckpointError: A language model's tokenizer has no padding or end-of-text token.
    """
    template = model.config.text_template()
    backbone = model.config.backbone_config()
    positions: Any = getattr(backbone, "max_position_embeddings", template.max_tokens)
    if model.config.token_pooling in LANGUAGE_MODEL_POOLINGS:
        check_tokenizer(tokenizer, name)
        longest = min(template.max_tokens, positions)
        if longest < 2:
            raise CheckpointError(f"{name}: a language model needs at least 2 tokens of a text.")
        read_as = LanguageModelFormat(model.config.separator, longest)
        return LanguageModelReader(LanguageModel(model.bert, tokenizer, name, read_as), template)
    if backbone.model_type in _POSITIONS_AFTER_PADDING:
        positions -= backbone.pad_token_id + 1  # the first position of a token
    return SentenceReader(tokenizer, template, min(template.max_tokens, positions))
