"""Texts to the tokens that a checkpoint's backbone reads: one rule for scoring and training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any, Protocol

from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

from airrep.errors import CheckpointError
from airrep.language_model.model import LanguageModel, check_tokenizer
from airrep.language_model.tokens import LanguageModelFormat, Tokens
from airrep.network.modeling import AirRepModel
from airrep.network.token_pooling import LANGUAGE_MODEL_POOLINGS
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
    """For sentence encoders: the rendered text, cut as its template says."""

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
        share = self._template.completion_share
        found = []
        for i, (text, ids, spans) in enumerate(
            zip(texts, read["input_ids"], read["offset_mapping"], strict=True)
        ):
            tokens = Tokens(ids, completion_start(self._template, text, spans))
            if share is not None and tokens.start and len(ids) == self.longest:
                tokens = self._kept(tokens, text, read.encodings[i], int(share * self.longest))
            found.append(tokens)
        return found

    def _kept(self, cut: Tokens, text: str, first: Encoding, least: int) -> Tokens:
        """The tokens of a text that may be too long, with at least so many of its completion.

        Args:
            cut: Its tokens, cut at the end.
            text: The text.
            first: The same tokens; the tokenizer keeps what it cut off as well.
            least: Tokens of the completion that stay, if it has so many.
        """
        special = first.special_tokens_mask
        before = sum(takewhile(bool, special))
        after = sum(takewhile(bool, reversed(special)))
        room = self.longest - before - after
        if cut.start - before + least <= room or not first.overflowing:
            return cut  # the end of the text is the completion's, or nothing was cut
        ids, spans = [], []
        for part in (first, *first.overflowing):
            ids += part.ids[before : len(part) - after]
            spans += part.offsets[before : len(part) - after]
        start = completion_start(self._template, text, spans)
        marked = len(text) - len(self._template.split(text)[1])
        marked -= len(self._template.completion_prefix)
        prompt = next((i for i, (_, end) in enumerate(spans) if end > marked), len(spans))
        kept = min(room, len(ids) - start, max(least, room - start))
        mark = min(start - prompt, room - kept)  # tokens of the completion's prefix
        ids = ids[: room - kept - mark] + ids[start - mark : start + kept]
        whole = first.ids[:before] + ids + first.ids[self.longest - after :]
        return Tokens(whole, self.longest - after - kept if kept else self.longest)


def unknown_share(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], longest: int) -> float:
    """Share of the texts' tokens that stand for what the tokenizer does not know; 0 without any.

    Args:
        tokenizer: The tokenizer. Those that fall back on bytes know everything.
        texts: Texts without a template, whose words are known.
        longest: Tokens of a text that are looked at.
    """
    unknown = tokenizer.unk_token_id
    if unknown is None or unknown == tokenizer.eos_token_id or not texts:
        return 0.0
    read = tokenizer(
        list(texts),
        add_special_tokens=False,
        truncation=True,
        max_length=longest,
        return_attention_mask=False,
        return_token_type_ids=False,
    )["input_ids"]
    return sum(ids.count(unknown) for ids in read) / max(1, sum(map(len, read)))


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
        read = (self._template.example(text) for text in texts)
        return self.model.tokenize([replace(each, id=str(i), row=i) for i, each in enumerate(read)])


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
