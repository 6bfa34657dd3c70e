"""The scorers by name: how each is made, and what is known of it before it is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import Any, Literal

from selection.scorers.base import Scorer

ScorerName = Literal[
    "airrep",
    "tfidf",
    "bm25",
    "random",
    "rds",
    "gradient",
    "gradient_cosine",
    "gradient_adam",
    "nudge",
]
_LIKENESS = "a low score means that a row is unlike the target, not that training on it hurts"


@dataclass(frozen=True)
class ScorerEntry:
    """A scorer that has a name.

    Attributes:
        made_by: Module of `selection.scorers` and class in it. What the class is given first is the
            language model or the encoder, if it needs one.
        options: Settings that make a scorer of this class the one of this name.
        needs: The argument of `curate.select` that it cannot do without, if there is one.
        unsigned: Why a score below 0 does not mean that training on the row hurts; "" if it does.
    """

    made_by: str
    options: Mapping[str, Any] = field(default_factory=dict)
    needs: Literal["model", "encoder"] | None = None
    unsigned: str = _LIKENESS

    def make(
        self, *needed: object, common: Mapping[str, Any] | None = None, **options: object
    ) -> Scorer:
        """A scorer of this name.

        Args:
            needed: The model or the encoder, if it needs one.
            common: Options of many scorers; those that this one has are passed on.
            options: Settings of this scorer.

        Raises:
            TypeError: It has no such setting.
            CurateError: A setting, or the model, does not fit.
        """
        module, name = self.made_by.split(".")
        kind = getattr(import_module(f"selection.scorers.{module}"), name)
        known = {each.name for each in fields(kind)}
        shared = {name: value for name, value in (common or {}).items() if name in known}
        scorer: Scorer = kind(*needed, **{**self.options, **shared, **options})
        return scorer


SCORERS: dict[str, ScorerEntry] = {
    "airrep": ScorerEntry("embedding.EmbeddingScorer", needs="encoder"),
    "tfidf": ScorerEntry("lexical.TfidfScorer"),
    "bm25": ScorerEntry("lexical.Bm25Scorer"),
    "random": ScorerEntry("random.RandomScorer", unsigned="its scores mean nothing"),
    "rds": ScorerEntry("hidden_states.RdsScorer", needs="model"),
    "gradient": ScorerEntry("gradient.GradientScorer", needs="model", unsigned=""),
    "gradient_cosine": ScorerEntry(
        "gradient.GradientScorer", {"preconditioner": "none"}, needs="model", unsigned=""
    ),
    "gradient_adam": ScorerEntry("adam_gradient.AdamGradientScorer", needs="model", unsigned=""),
    "nudge": ScorerEntry("nudge.NudgeScorer", needs="model", unsigned=""),
}
