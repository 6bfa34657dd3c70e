"""Cosines of the language model's own hidden states: RDS+."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from airrep.language_model.hidden_states import Span, check_span, hidden_state_features
from airrep.language_model.model import LanguageModel
from airrep.language_model.passes import check_options
from airrep.records import Example
from selection.features import KnownFeatures, check_given, features_of
from selection.scorers.base import described, read_by_model
from selection.scores import EmbeddingScores, Scores

_COSINE_SCALE = 5.0


@dataclass(frozen=True)
class RdsScorer:
    """Cosine of pooled last hidden states (Ivison et al. 2025), of `language_model.hidden_states`.

    Attributes:
        model: The model to be fine-tuned.
        tokens: "all" is RDS+; "completion" pools completion tokens alone, all alike.
        tokens_per_batch: See `hidden_state_features`.
        dtype: See `hidden_state_features`.
        progress: Show a progress bar for the pool.
        known: Features computed before, by `features` of a scorer like this one.
    """

    model: LanguageModel = field(repr=False)
    tokens: Span = "all"
    tokens_per_batch: int = 4096
    dtype: str = "auto"
    progress: bool = False
    known: KnownFeatures | None = None

    def __post_init__(self) -> None:
        check_span(self.tokens)
        check_options(self.dtype, self.tokens_per_batch)

    @property
    def name(self) -> str:
        """What reports and manifests call it."""
        return "rds+" if self.tokens == "all" else "rds completion"

    @property
    def dim(self) -> int:
        """Features per example, of 4 bytes each."""
        return int(self.model.network.config.get_text_config().hidden_size)

    def features(
        self, examples: Sequence[Example], *, progress: bool = False
    ) -> npt.NDArray[np.float32]:
        """(len(examples), dim); for targets and pool alike."""
        return features_of(
            examples,
            self.known,
            self.dim,
            lambda missing: hidden_state_features(
                self.model,
                missing,
                tokens=self.tokens,
                tokens_per_batch=self.tokens_per_batch,
                dtype=self.dtype,
                progress=progress,
            ),
        )

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> Scores:
        """See `Scorer.score`."""
        check_given(targets, pool)
        made = described(
            self,
            targets,
            pool,
            _COSINE_SCALE,
            read_by_model(self.name, self.model, self.dtype, pool),
        )
        return EmbeddingScores(
            self.features(targets), self.features(pool, progress=self.progress), **made
        )
