"""Supervision in splits: disjoint parts of a pool, each with its own examples and subsets.

Every example's labels come from one split, whose subsets are all drawn from one part of the pool.
With many parts the encoder sees many rows and many examples, while each run pays for the losses of
one part's examples only (AirRep, arXiv 2505.18513, trains on 100 such splits).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from airrep.console.wording import counted
from airrep.errors import ArgumentError
from airrep.records import Example
from airrep.schema import Count, Natural, check_fields
from airrep.supervision import SubsetPlan
from eval_harness.runs.subsets import (
    Draw,
    FewSources,
    Selected,
    Uniform,
    default_size,
    default_subsets,
    draw_plan,
)
from selection.scorers.lexical import Bm25Scorer
from selection.selectors import make_selector

_SPLITS, _ROWS_OF_A_SPLIT, _SUBSETS = 4, 300, 200
_BM25_SCALE = 15.0  # of selection, as chosen on validation data (docs/results.md)


@dataclass(frozen=True)
class SupervisionConfig:
    """What is drawn for each split.

    Attributes:
        splits: Parts that pool and examples are dealt into; default 4, or fewer where each would
            have fewer than 300 pool rows.
        size: Rows of a subset; default 100, or a third of a part.
        uniform: Subsets of rows that are all equally likely; default 200, or fewer of a small part
            (`eval_harness.runs.subsets.default_subsets`).
        few_sources: Subsets of 1 to 4 sources.
        selected: Subsets that a selector picked, by BM25, for 1 to 32 of the split's examples.
        repeats: Fine-tuning runs of each subset; 1 teaches most for the time.
    """

    splits: Count | None = None
    size: Count | None = None
    uniform: Natural | None = None
    few_sources: Natural = 0
    selected: Natural = 0
    repeats: Count = 1

    def __post_init__(self) -> None:
        check_fields(self, "supervision")
        if self.uniform is not None and self.uniform + self.few_sources + self.selected < 2:
            raise ArgumentError("supervision: an encoder learns from 2 subsets or more per split.")

    def sizes(self, pool: int) -> SupervisionSizes:
        """What depends on the rows, with a number for what was left open.

        Args:
            pool: Rows that splits are made of.
        """
        splits = self.splits or max(1, min(_SPLITS, pool // _ROWS_OF_A_SPLIT))
        size = self.size or default_size(pool // splits)
        uniform = self.uniform
        if uniform is None:
            uniform = default_subsets(pool // splits, size, _SUBSETS)
        return SupervisionSizes(splits, size, uniform)


@dataclass(frozen=True)
class SupervisionSizes:
    """How much is drawn; see `SupervisionConfig`."""

    splits: int
    size: int
    uniform: int


@dataclass(frozen=True, eq=False)
class Split:
    """One part: its rows, its examples, and the plan over them."""

    pool: list[Example]
    evaluation: list[Example]
    plan: SubsetPlan


def draw_splits(
    pool: Sequence[Example], examples: Sequence[Example], config: SupervisionConfig, seed: int = 0
) -> list[Split]:
    """Deal pool and examples into splits and draw the subsets of each.

    Args:
        pool: Rows to train on.
        examples: Whose losses are measured; none is in the pool.
        config: How many splits and subsets.
        seed: Seed of the deal, the draws and the runs.

    Raises:
        ArgumentError: Too few rows or examples for the splits.
    """
    sizes = config.sizes(len(pool))
    if len(pool) // sizes.splits < sizes.size or len(examples) < sizes.splits:
        raise ArgumentError(
            f"supervision: {sizes.splits} splits of {len(pool):,} pool rows and "
            f"{counted(len(examples), 'example')} are too small for subsets of {sizes.size}; use "
            "fewer splits, smaller subsets or more rows."
        )
    parts = [
        [[rows[i] for i in np.sort(part).tolist()] for part in _deal(len(rows), sizes.splits, key)]
        for rows, key in ((pool, [seed, 0]), (examples, [seed, 1]))
    ]
    return [
        Split(rows, targets, _plan(rows, targets, config, sizes, seed, number))
        for number, (rows, targets) in enumerate(zip(*parts, strict=True))
    ]


def _deal(count: int, parts: int, key: list[int]) -> list[np.ndarray]:
    return np.array_split(np.random.default_rng(key).permutation(count), parts)


def _plan(
    pool: list[Example],
    targets: list[Example],
    config: SupervisionConfig,
    sizes: SupervisionSizes,
    seed: int,
    number: int,
) -> SubsetPlan:
    draws: list[tuple[Draw, int]] = [(Uniform(sizes.size), sizes.uniform)]
    if config.few_sources:
        draws.append((FewSources(sizes.size), config.few_sources))
    if config.selected:
        selector = make_selector("layered_greedy", scale=_BM25_SCALE)
        scores = Bm25Scorer().score(targets, pool)
        draws.append((Selected(sizes.size, scores, selector), config.selected))
    own = int(np.random.SeedSequence([seed, 2, number]).generate_state(1)[0])
    roles = {"train": np.arange(len(targets))}
    return draw_plan(pool, targets, draws, repeats=config.repeats, seed=own, roles=roles)
