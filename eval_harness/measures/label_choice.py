"""Choosing among labels: the one whose mean completion loss is lowest, which favors no length."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.errors import ArgumentError
from airrep.language_model.losses import completion_losses
from airrep.language_model.model import LanguageModel
from airrep.records import Example
from eval_harness.measures.generation import check_prompts

_MOST_LABELS = 10  # more different completions are answers


def rank_candidates(
    model: LanguageModel, examples: Sequence[Example], candidates: Sequence[Sequence[str]]
) -> npt.NDArray[np.int64]:
    """The label of lowest loss after each example's prompt; of equal ones the first.

    Args:
        model: The language model.
        examples: Rows with prompts; their completions are not read.
        candidates: What may be answered to each, one label or more.

    Returns:
        (n,) positions among the example's candidates.

    Raises:
        RecordError: An example has no prompt.
        EmbeddingError: A loss is NaN or infinite.

    Example:
        >>> rank_candidates(model, [Example("0", "Is it so?", "")], [["yes", "yes"]])
        array([0])
    """
    check_prompts(examples)
    pairs = [
        example.answering(label)
        for example, labels in zip(examples, candidates, strict=True)
        for label in labels
    ]
    losses = completion_losses(model, pairs)
    ends = np.cumsum([0, *map(len, candidates)])
    return np.array([losses[i:j].argmin() for i, j in pairwise(ends.tolist())], dtype=np.int64)


def label_sets(
    reference: Sequence[Example], groups: Sequence[str] | None = None
) -> dict[str, list[str]]:
    """The groups whose completions are labels, and these labels, sorted.

    They are if the group has between 2 and 10 different completions, each seen twice or more.

    Args:
        reference: Examples of the same tasks, ideally many: pool and targets.
        groups: Each example's group; default its source.

    Raises:
        ArgumentError: The groups do not go with the examples.

    Example:
        >>> rows = [Example(str(i), "Is it so?", "yes no".split()[i % 2]) for i in range(4)]
        >>> label_sets(rows, ["a"] * 4)
        {'a': ['no', 'yes']}
    """
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for group, example in zip(_group_names(reference, groups), reference, strict=True):
        if example.completion.strip():
            seen[group][example.completion] += 1
    return {
        group: sorted(counts)
        for group, counts in seen.items()
        if 2 <= len(counts) <= _MOST_LABELS and min(counts.values()) >= 2
    }


def labels_of(
    examples: Sequence[Example],
    groups: Sequence[str] | None,
    labels: Sequence[str] | Mapping[str, Sequence[str]] | None,
) -> list[Sequence[str] | None]:
    """Each example's labels; None where it has none.

    Args:
        examples: What is to be answered.
        groups: Each example's group; default its source.
        labels: The labels of some groups by name, the labels of all groups, or None.

    Raises:
        ArgumentError: The groups do not go with the examples; no labels, or a blank one.

    Example:
        >>> labels_of([Example("0", "Is it so?", "yes")], ["a"], {"a": ["yes", "no"]})
        [['yes', 'no']]
    """
    names = _group_names(examples, groups)
    if labels is None:
        return [None] * len(names)
    if not isinstance(labels, Mapping):
        return [_checked(labels, "labels")] * len(names)
    checked = {group: _checked(given, f"labels of {group!r}") for group, given in labels.items()}
    return [checked.get(name) for name in names]


def _group_names(examples: Sequence[Example], groups: Sequence[str] | None) -> Sequence[str]:
    if groups is None:
        return [example.source for example in examples]
    if len(groups) != len(examples):
        raise ArgumentError(
            f"found {counted(len(groups), 'group')} for {counted(len(examples), 'example')}."
        )
    return groups


def _checked(labels: Sequence[str], name: str) -> Sequence[str]:
    if isinstance(labels, str) or not labels or not all(label.strip() for label in labels):
        raise ArgumentError(f"{name}: expected a list of texts, none blank; found {labels!r}.")
    return labels
