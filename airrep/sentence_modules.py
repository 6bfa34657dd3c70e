"""Modules for sentence-transformers, of encoders that tell prompt and completion apart.

They pool the two apart, or cut the prompt of a long text before its completion.

Optional: needs sentence-transformers 6 or newer. Nothing in this package imports it; that library
does, where the `modules.json` that `AirRep.export_sentence_transformers` wrote names it. It imports
classes that are not its own only where it is told to, and this package has to be installed:

    SentenceTransformer(directory, trust_remote_code=True).encode(texts)

The texts are rendered by the checkpoint's template; any other text is all completion, as for
`AirRep.encode`.

Shapes: B texts, L tokens (padded), H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from sentence_transformers.sentence_transformer.modules import Module, Transformer

from airrep.console.wording import shown
from airrep.errors import ArgumentError
from airrep.network.reading import SentenceReader, completion_start
from airrep.network.token_pooling import pool_states
from airrep.template import TextTemplate

_START = "completion_start"


class SegmentTransformer(Transformer):
    """A sentence encoder's backbone, that also says where each text's completion starts."""

    config_keys = (*Transformer.config_keys, "template")

    def __init__(
        self,
        model_name_or_path: str,
        *,
        template: dict[str, Any],
        **settings: Any,  # noqa: ANN401 (that class's own)
    ) -> None:
        super().__init__(model_name_or_path, **settings)
        self.template = template

    def preprocess(
        self,
        inputs: Sequence[Any],
        prompt: str | None = None,
        **settings: Any,  # noqa: ANN401
    ) -> dict[str, Any]:
        """Tokens of texts, and the position of each completion's first one, (B,).

        Raises:
            ArgumentError: The inputs are not all text.
        """
        for given in inputs:
            if not isinstance(given, str):
                raise ArgumentError(f"expected texts, found {type(given).__name__}: {shown(given)}")
        template = TextTemplate.from_dict(self.template)
        texts = [f"{prompt or ''}{text}" for text in inputs]
        options = {**(settings.pop("processing_kwargs", None) or {})}
        options["text"] = {**options.get("text", {}), "return_offsets_mapping": True}
        features = super().preprocess(texts, processing_kwargs=options, **settings)
        if not texts:
            return features
        spans = features.pop("offset_mapping")  # (B, L, 2)
        starts = [
            completion_start(template, t, s.tolist()) for t, s in zip(texts, spans, strict=True)
        ]
        if template.completion_share is not None:  # those that may have been cut are read by it
            ids = features["input_ids"]
            full = features["attention_mask"].all(dim=1).nonzero()[:, 0].tolist()
            reader = SentenceReader(self.tokenizer, template, ids.shape[1])
            for row, read in zip(full, reader.tokens([texts[i] for i in full]), strict=True):
                ids[row], starts[row] = torch.tensor(read.ids), read.start
        return {**features, _START: torch.tensor(starts, dtype=torch.int64)}

    def forward(self, features: dict[str, Any], **settings: Any) -> dict[str, Any]:  # noqa: ANN401
        """Hidden states, as that class; the backbone does not see where completions start."""
        others = {key: value for key, value in features.items() if key != _START}
        return {**super().forward(others, **settings), _START: features[_START]}

    def _should_flatten_inputs(self, *_: Any, **__: Any) -> bool:  # noqa: ANN401
        return False  # texts in a row have no positions of their own


class SegmentPooling(Module):
    """Means over the prompt's and over the completion's tokens, side by side: (B, 2 · levels · H).

    Of the last layer's states, or (more than one level) of several layers', which the backbone
    gives where its config's `output_hidden_states` is true.
    """

    config_keys = ("embedding_dimension", "levels")

    def __init__(self, embedding_dimension: int, levels: int = 1) -> None:
        super().__init__()
        self.embedding_dimension, self.levels = embedding_dimension, levels

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: ANN401
        """Adds `sentence_embedding`."""
        last = features["token_embeddings"]
        several = self.levels > 1
        states, how = (
            (features["all_layer_embeddings"], "levels") if several else ([last], "segments")
        )
        pooled = pool_states(states, features["attention_mask"], features[_START], how)
        features["sentence_embedding"] = pooled.to(last.dtype)
        return features

    def get_embedding_dimension(self) -> int:
        """2 · levels · H."""
        return 2 * self.levels * self.embedding_dimension

    def save(self, output_path: str, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """Write `config.json`; there are no weights."""
        self.save_config(output_path)
