"""Subsets of a pool to fine-tune on: uniform, stratified, or skewed as selections are.

Selected sets never look uniform: they come from few sources, or are what a selector picked. A
scorer that is judged, or trained, on uniform subsets alone is not asked about them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.errors import ArgumentError
from airrep.records import Example
from airrep.supervision import Indices, SubsetPlan, example_digests
from eval_harness.runs.held_out import check_disjoint
from selection.scores import Scores
from selection.selectors.base import Selector

_SIZE, _SHARE = 100, 3
_TIMES = 20
FEWEST_DRAWN = 10  # by default


def default_size(rows: int) -> int:
    """Rows of a subset of so many: 100, or a third of them where that is less."""
    return max(1, min(_SIZE, rows // _SHARE))


def default_subsets(rows: int, size: int, most: int) -> int:
    """How many subsets to draw: so many that a row is in 20 of them, but 10 to `most`.

    Of few rows, more subsets say the same again: they share most of their rows.
    """
    return min(most, max(FEWEST_DRAWN, -(-_TIMES * rows // size)))


class Draw(ABC):
    """One way to draw a subset."""

    kind: str

    def __call__(self, pool: Sequence[Example], rng: np.random.Generator) -> Indices:
        """Pool positions, ascending, without repeats."""
        return np.sort(self._rows(pool, rng)).astype(np.int64)

    @abstractmethod
    def _rows(
        self, pool: Sequence[Example], rng: np.random.Generator
    ) -> npt.NDArray[np.integer]: ...


@dataclass(frozen=True)
class Uniform(Draw):
    """`size` rows, all equally likely."""

    size: int
    kind = "uniform"

    def _rows(self, pool: Sequence[Example], rng: np.random.Generator) -> Indices:
        return rng.choice(len(pool), _fitting(self.size, pool), replace=False)


@dataclass(frozen=True)
class Stratified(Draw):
    """`size` rows, of each source as large a share as it has in the pool (±1 row)."""

    size: int
    kind = "stratified"

    def _rows(self, pool: Sequence[Example], rng: np.random.Generator) -> Indices:
        size = _fitting(self.size, pool)
        members = by_source(pool)
        exact = np.array([len(rows) for rows in members]) * (size / len(pool))
        counts = np.floor(exact).astype(int)
        # the rows left over go to sources at random, likelier where more was rounded off
        short = size - int(counts.sum())
        if short:
            rest = exact - counts
            counts[rng.choice(len(counts), short, replace=False, p=rest / rest.sum())] += 1
        drawn = [rng.choice(m, n, replace=False) for m, n in zip(members, counts, strict=True)]
        return np.concatenate(drawn)


@dataclass(frozen=True)
class FewSources(Draw):
    """`size` rows of 1 to `most` sources; other sources fill up if those have too few rows."""

    size: int
    most: int = 4
    kind = "few_sources"

    def _rows(self, pool: Sequence[Example], rng: np.random.Generator) -> Indices:
        size = _fitting(self.size, pool)
        members = by_source(pool)
        order = rng.permutation(len(members))
        wanted = int(rng.integers(1, min(self.most, len(members)) + 1))
        chosen = np.concatenate([members[i] for i in order[:wanted]])
        while len(chosen) < size:
            chosen = np.concatenate([chosen, members[order[wanted]]])
            wanted += 1
        return rng.choice(chosen, size, replace=False)


@dataclass(frozen=True, eq=False)
class Selected(Draw):
    """A selector's own picks for 1 to `most_targets` random targets."""

    size: int
    scores: Scores
    selector: Selector
    most_targets: int = 32
    kind = "selected"

    def _rows(self, pool: Sequence[Example], rng: np.random.Generator) -> Indices:
        targets, rows = self.scores.shape
        if rows != len(pool):
            raise ArgumentError(f"scores: expected {len(pool)} pool rows, found {rows}.")
        count = int(rng.integers(1, min(self.most_targets, targets) + 1))
        weights = np.zeros(targets)
        weights[rng.choice(targets, count, replace=False)] = 1.0
        k = _fitting(self.size, pool)
        return self.selector.select(self.scores, k, weights=weights.tolist()).indices


def draw_plan(
    pool: Sequence[Example],
    evaluation: Sequence[Example],
    draws: Sequence[tuple[Draw, int]],
    *,
    repeats: int = 1,
    seed: int = 0,
    roles: Mapping[str, Indices] | None = None,
) -> SubsetPlan:
    """Draw the subsets of a plan.

    Args:
        pool: Rows to train on.
        evaluation: Examples whose losses are measured; none of them is in the pool.
        draws: (how, how many) pairs, in the order in which the subsets appear.
        repeats: Fine-tuning seeds per subset; 2 or more give a noise ceiling.
        seed: Seed of the draws and the runs.
        roles: Name to evaluation positions; default all are "test".

    Raises:
        ArgumentError: Nothing to draw or to draw from, a subset larger than the pool, roles that
            overlap or reach beyond the examples, or an evaluation example that is in the pool.

    Example:
        >>> rows = [Example(str(i), f"question {i}", "answer") for i in range(6)]
        >>> plan = draw_plan(rows[:4], rows[4:], [(Uniform(2), 3)], repeats=2)
        >>> len(plan.subsets), len(plan.runs), plan.kinds
        (3, 6, ['uniform', 'uniform', 'uniform'])
    """
    total = sum(count for _, count in draws)
    if not pool or not evaluation or total < 1 or repeats < 1:
        raise ArgumentError(
            "a plan needs pool rows, evaluation examples, at least 1 subset and 1 repeat; found "
            f"{len(pool)}, {len(evaluation)}, {total} and {repeats}."
        )
    check_disjoint({"pool": pool, "evaluation": evaluation})
    subsets: list[Indices] = []
    kinds: list[str] = []
    for draw, count in draws:
        for _ in range(count):
            rng = np.random.default_rng([seed, len(subsets)])
            subsets.append(draw(pool, rng))
            kinds.append(draw.kind)
    parts = {"test": np.arange(len(evaluation))} if roles is None else dict(roles)
    taken = [i for rows in parts.values() for i in np.asarray(rows).tolist()]
    repeated = len(set(taken)) < len(taken)
    empty = not parts or any(len(rows) == 0 for rows in parts.values())
    if empty or repeated or not set(taken) <= set(range(len(evaluation))):
        raise ArgumentError(
            f"roles {sorted(parts)}: they overlap, are empty, or name positions beyond the "
            f"{len(evaluation)} evaluation examples."
        )
    named = {name: np.sort(rows).astype(np.int64) for name, rows in parts.items()}
    digests = (example_digests(examples) for examples in (pool, evaluation))
    return SubsetPlan(subsets, kinds, repeats, seed, named, *digests)


def subset_size(size: float, rows: int) -> int:
    """A size given as a number of rows (1 or more) or as a fraction of the pool (below 1).

    Raises:
        ArgumentError: Not above 0, not whole, or more than the pool has.
    """
    count = round(size * rows) if 0 < size < 1 else size
    if not 1 <= count <= rows or count != int(count):
        raise ArgumentError(
            f"subset size {size!r} is out of range; expected a fraction between 0 and 1, or 1 to "
            f"{counted(rows, 'row')}."
        )
    return int(count)


def by_source(pool: Sequence[Example]) -> list[Indices]:
    """Positions of each source's rows, sources in the order of their names."""
    members: dict[str, list[int]] = {}
    for i, example in enumerate(pool):
        members.setdefault(example.source, []).append(i)
    return [np.array(members[source]) for source in sorted(members)]


def _fitting(size: int, pool: Sequence[Example]) -> int:
    if not 1 <= size <= len(pool):
        raise ArgumentError(
            f"a subset of {counted(size, 'row')} from a pool of {len(pool)}: not possible."
        )
    return size
