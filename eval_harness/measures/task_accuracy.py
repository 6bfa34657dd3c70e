"""Accuracy of a language model, by choosing among labels or by answering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from airrep.errors import ArgumentError
from airrep.records import Example
from eval_harness.measures.text_match import exact_match, token_f1

if TYPE_CHECKING:
    from airrep.language_model.model import LanguageModel
    from eval_harness.measures.losses import ComputeDtype, Reduction

Method = Literal["ranking", "generation"]
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
    max_labels: int = 10,
    normalise: Reduction = "mean",
    max_new_tokens: int = 64,
    batch_size: int = 16,
    dtype: ComputeDtype = "auto",
) -> Accuracy:
    """Predict each example's completion and compare.

    Examples of a group with labels get the likeliest label (`rank_classify`), the others what the
    model generates (`generate`).

    Args:
        model: The language model.
        examples: Rows with a prompt and the right completion.
        labels: "auto": what `label_sets` finds in `reference`; the labels of each group, for some
            groups; labels for all; or None to generate everywhere.
        groups: Each example's group; default its source. Name the prompt template as well where
            the labels depend on it.
        reference: Where "auto" looks for labels; default `examples`. Give it pool and targets.
        reference_groups: The groups of `reference`; default its sources.
        max_labels: See `label_sets`.
        normalise: See `rank_classify`.
        max_new_tokens: See `generate`.
        batch_size: See `generate`.
        dtype: Precision of the ranking; see `completion_losses`.

    Raises:
        ArgumentError: No examples, groups that do not go with them, or useless labels.
        RecordError: An example has no prompt or no completion.
        EmbeddingError: A loss is NaN or infinite.
    """
    from eval_harness.measures.generation import generate  # here, because they bring torch
    from eval_harness.measures.label_choice import label_sets, rank_candidates

    if not examples:
        raise ArgumentError("examples: none to predict.")
    if labels == "auto":
        where, theirs = (examples, groups) if reference is None else (reference, reference_groups)
        labels = label_sets(where, groups=theirs, max_labels=max_labels)
    candidates = _candidates(examples, groups, labels)
    ranked = [i for i, given in enumerate(candidates) if given is not None]
    written = [i for i, given in enumerate(candidates) if given is None]
    chosen = rank_candidates(
        model,
        [examples[i] for i in ranked],
        [given for given in candidates if given is not None],
        normalise,
        dtype,
    )
    texts = generate(
        model, [examples[i] for i in written], max_new_tokens=max_new_tokens, batch_size=batch_size
    )
    found: dict[int, tuple[str, Method]] = {}
    for i, choice in zip(ranked, chosen, strict=True):
        found[i] = (list(candidates[i] or ())[choice], "ranking")
    for i, text in zip(written, texts, strict=True):
        found[i] = (text, "generation")
    predictions, methods = zip(*(found[i] for i in range(len(examples))), strict=True)
    pairs = [(p, e.completion) for p, e in zip(predictions, examples, strict=True)]
    return Accuracy(
        exact=np.array([exact_match(*pair) for pair in pairs]),
        f1=np.array([token_f1(*pair) for pair in pairs]),
        predictions=predictions,
        methods=methods,
    )


def _candidates(
    examples: Sequence[Example],
    groups: Sequence[str] | None,
    labels: Sequence[str] | Mapping[str, Sequence[str]] | None,
) -> list[Sequence[str] | None]:
    """Each example's labels; None where it has none."""
    from eval_harness.measures.label_choice import check_labels, group_names  # it brings torch

    names = group_names(examples, groups)
    if labels is None:
        return [None] * len(names)
    if not isinstance(labels, Mapping):
        check_labels(labels, "labels")
        return [labels] * len(names)
    for group, given in labels.items():
        check_labels(given, f"labels of {group!r}")
    return [labels.get(name) for name in names]
