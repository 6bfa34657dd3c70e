"""Accuracy of a language model, by choosing among labels or by answering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from airrep.errors import ArgumentError
from airrep.language_model.model import LanguageModel
from airrep.records import Example
from eval_harness.measures.generation import generate
from eval_harness.measures.label_choice import label_sets, labels_of, rank_candidates
from eval_harness.measures.text_match import exact_match, token_f1

Method = Literal["label_choice", "generation"]
Labels = Literal["auto"] | Sequence[str] | Mapping[str, Sequence[str]] | None


@dataclass(frozen=True, eq=False)
class Accuracy:
    """What was right, example by example.

    Attributes:
        exact: (n,) whether the prediction matches the completion exactly (see `text_match`).
        f1: (n,) float64, token F1 of the two.
        predictions: The chosen label or the generated text.
        methods: How each was predicted.
    """

    exact: npt.NDArray[np.bool_]
    f1: npt.NDArray[np.float64]
    predictions: tuple[str, ...]
    methods: tuple[Method, ...]

    @property
    def mean_exact(self) -> float:
        """Share of exact matches."""
        return float(self.exact.mean())

    @property
    def mean_f1(self) -> float:
        """Mean token F1."""
        return float(self.f1.mean())


def accuracy(
    model: LanguageModel,
    examples: Sequence[Example],
    *,
    labels: Labels = "auto",
    groups: Sequence[str] | None = None,
    reference: Sequence[Example] | None = None,
    reference_groups: Sequence[str] | None = None,
    max_new_tokens: int = 64,
) -> Accuracy:
    """Predict each example's completion and compare.

    Examples of a group with labels get the likeliest label (`rank_candidates`), the others what
    the model generates (`generate`).

    Args:
        model: The language model.
        examples: Rows with a prompt and the right completion.
        labels: "auto": what `label_sets` finds in `reference`; the labels of each group, for some
            groups; labels for all; or None to generate everywhere.
        groups: Each example's group; default its source. Name the prompt template as well where
            the labels depend on it.
        reference: Where "auto" looks for labels; default `examples`. Give it pool and targets.
        reference_groups: The groups of `reference`; default its sources.
        max_new_tokens: See `generate`.

    Raises:
        ArgumentError: No examples, groups that do not go with them, or useless labels.
        RecordError: An example has no prompt or no completion.
        EmbeddingError: A loss is NaN or infinite.

    Example:
        >>> found = accuracy(model, [Example("0", "Is it so?", "yes")], labels=["yes", "yes"])
        >>> found.mean_exact, found.methods
        (1.0, ('label_choice',))
    """
    if not examples:
        raise ArgumentError("examples: none to predict.")
    if labels == "auto":
        where, theirs = (examples, groups) if reference is None else (reference, reference_groups)
        labels = label_sets(where, theirs)
    candidates = dict(enumerate(labels_of(examples, groups, labels)))
    ranked = {i: given for i, given in candidates.items() if given is not None}
    written = [i for i in candidates if i not in ranked]
    chosen = rank_candidates(model, [examples[i] for i in ranked], list(ranked.values()))
    texts = generate(model, [examples[i] for i in written], max_new_tokens=max_new_tokens)
    found = {i: ranked[i][choice] for i, choice in zip(ranked, chosen.tolist(), strict=True)}
    found |= dict(zip(written, texts, strict=True))
    pairs = [(found[i], example.completion) for i, example in enumerate(examples)]
    return Accuracy(
        exact=np.array([exact_match(*pair) for pair in pairs]),
        f1=np.array([token_f1(*pair) for pair in pairs]),
        predictions=tuple(prediction for prediction, _ in pairs),
        methods=tuple("label_choice" if i in ranked else "generation" for i in candidates),
    )
