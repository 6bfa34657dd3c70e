"""Gradients as a store of embeddings keeps them: on disk, by the tokens of a row.

`airrep.store.EmbeddingStore` adds what is missing, shard by shard, resumes after a kill, and reads
slices; here is what it needs of an encoder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from airrep.errors import EmbeddingError
from airrep.gradients.features import gradients_of_tokens, identity
from airrep.gradients.reductions import Reduction
from airrep.language_model.model import LanguageModel
from airrep.language_model.passes import computed_in
from airrep.language_model.tokens import Tokens
from airrep.records import Example
from airrep.template import text_fingerprint


@dataclass(frozen=True)
class TokenTemplate:
    """An example as a text that says its tokens."""

    model: LanguageModel
    fingerprint = "tokens"  # all else is part of the model's

    def render(self, example: Example) -> str:
        """Start, tokens and silent positions, as JSON."""
        (tokens,) = self.model.tokenize([example])
        return json.dumps([tokens.start, tokens.ids, tokens.silent], separators=(",", ":"))


class GradientEncoder:
    """Gradients of a model's loss, however they are made small, of texts of `TokenTemplate`."""

    def __init__(
        self,
        model: LanguageModel,
        reductions: Sequence[Reduction],
        *,
        layers: int | None = None,
        dtype: str = "auto",
    ) -> None:
        """Take the reductions of the last blocks' layers (see `reduced_gradients`)."""
        self._model, self._reductions = model, reductions
        self._layers, self._dtype = layers, dtype
        self.name, self.template = model.name, TokenTemplate(model)
        self.precision = computed_in(model, dtype)
        self.dim = sum(reduction.width for reduction in reductions)

    @property
    def fingerprint(self) -> str:
        """Equal for equal gradients."""
        made_by = identity(self._model, self._reductions, self._dtype)
        return text_fingerprint(f"{made_by} {self._model.fingerprint}").hex()

    def encode(
        self,
        inputs: Any,  # noqa: ANN401 (texts, see `airrep.shards.shard.TextEncoder`)
        /,
        *,
        tokens_per_batch: int = 4096,
    ) -> npt.NDArray[np.float32]:
        """Gradients (n, D).

        Raises:
            EmbeddingError: One is NaN or infinite.
        """
        tokens = [
            Tokens(ids, start, tuple(silent)) for start, ids, silent in map(json.loads, inputs)
        ]
        found = gradients_of_tokens(
            self._model,
            tokens,
            self._reductions,
            layers=self._layers,
            tokens_per_batch=tokens_per_batch,
            dtype=self._dtype,
        )
        broken = np.flatnonzero(~np.isfinite(found).all(axis=1))
        if broken.size:
            raise EmbeddingError(
                f"gradients: NaN or infinity for {broken.size} of {len(tokens)} rows. If it is all "
                "of them, the model's weights are broken."
            )
        return found
