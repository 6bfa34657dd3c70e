"""Choosing among labels: the one whose completion loss is lowest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.errors import ArgumentError
from airrep.language_model.model import LanguageModel
from airrep.records import Example
from eval_harness.measures.generation import check_prompts
from eval_harness.measures.losses import ComputeDtype, Reduction, completion_losses


def rank_classify(
    model: LanguageModel,
    examples: Sequence[Example],
    labels: Sequence[str],
    *,
    normalise: Reduction = "mean",
    dtype: ComputeDtype = "auto",
) -> npt.NDArray[np.int64]:
    """The label of lowest loss after each example's prompt; of equal ones the first.

    Args:
        model: The language model.
        examples: Rows with prompts; their completions are not read.
        labels: What may be answered.
        normalise: "mean" loss over a label's tokens, which does not favour short labels, or the
            "sum", which is minus the log-likelihood.
        dtype: See `completion_losses`.

    Returns:
        (n,) positions in `labels`.

    Raises:
        ArgumentError: No labels, or a blank one.
        RecordError: An example has no prompt.
        EmbeddingError: A loss is NaN or infinite.
    """
    check_labels(labels, "labels")
    return rank_candidates(model, examples, [labels] * len(examples), normalise, dtype)


def rank_candidates(
    model: LanguageModel,
    examples: Sequence[Example],
    candidates: Sequence[Sequence[str]],
    normalise: Reduction,
    dtype: ComputeDtype,
) -> npt.NDArray[np.int64]:
    """Like `rank_classify`, with candidates of its own for each example."""
    check_prompts(examples)
    pairs = [
        replace(example, completion=label)
        for example, labels in zip(examples, candidates, strict=True)
        for label in labels
    ]
    losses = completion_losses(model, pairs, reduction=normalise, dtype=dtype)
    ends = np.cumsum([0, *map(len, candidates)])
    return np.array([losses[i:j].argmin() for i, j in pairwise(ends.tolist())], dtype=np.int64)


def label_sets(
    reference: Sequence[Example], *, groups: Sequence[str] | None = None, max_labels: int = 10
) -> dict[str, list[str]]:
    """The groups whose completions are labels, and these labels, sorted.

    They are if the group has between 2 and `max_labels` different completions, each seen twice or
    more.

    Args:
        reference: Examples of the same tasks, ideally many: pool and targets.
        groups: Each example's group; default its source.
        max_labels: More different completions are answers, not labels.

    Raises:
        ArgumentError: The groups do not go with the examples.
    """
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for group, example in zip(group_names(reference, groups), reference, strict=True):
        if example.completion.strip():
            seen[group][example.completion] += 1
    return {
        group: sorted(counts)
        for group, counts in seen.items()
        if 2 <= len(counts) <= max_labels and min(counts.values()) >= 2
    }


def group_names(examples: Sequence[Example], groups: Sequence[str] | None) -> Sequence[str]:
    """The groups given, or the sources.

    Raises:
        ArgumentError: Not one group for each example.
    """
    if groups is None:
        return [example.source for example in examples]
    if len(groups) != len(examples):
        raise ArgumentError(
            f"found {counted(len(groups), 'group')} for {counted(len(examples), 'example')}."
        )
    return groups


def check_labels(labels: Sequence[str], name: str) -> None:
    """Refuse what cannot be chosen from.

    Raises:
        ArgumentError: No labels, a blank one, or a single text.
    """
    if isinstance(labels, str) or not labels or not all(label.strip() for label in labels):
        raise ArgumentError(f"{name}: expected a list of texts, none blank; found {labels!r}.")
