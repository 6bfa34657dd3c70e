"""Subsets of a pool to fine-tune on: uniform, stratified, or skewed as selections are.

Selected sets never look uniform: they come from few sources, lie close together, or are what a
selector picked. A scorer that is judged, or trained, on uniform subsets alone is not asked about
them (see `skewed` draws).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.errors import ArgumentError
from airrep.records import Example
from airrep.supervision import Indices, SubsetPlan, example_digests
from selection.scores import Scores
from selection.selectors.base import Selector


class Draw(Protocol):
    """One way to draw a subset."""

    kind: str

    def __call__(self, pool: Sequence[Example], rng: np.random.Generator) -> Indices:
        """Pool positions, ascending, without repeats."""
        ...


@dataclass(frozen=True)
class Uniform:
    """`size` rows, all equally likely."""

    size: int
    kind = "uniform"

    def __call__(self, pool: Sequence[Example], rng: np.random.Generator) -> Indices:
        """See `Draw`."""
        return _ascending(rng.choice(len(pool), _fitting(self.size, pool), replace=False))


@dataclass(frozen=True)
class Stratified:
    """`size` rows, of each source as large a share as it has in the pool (±1 row)."""

    size: int
    kind = "stratified"

    def __call__(self, pool: Sequence[Example], rng: np.random.Generator) -> Indices:
        """See `Draw`."""
        size = _fitting(self.size, pool)
        members = _by_source(pool)
        exact = np.array([len(rows) for rows in members]) * (size / len(pool))
        counts = np.floor(exact).astype(int)
        # the rows left over go to sources at random, likelier where more was rounded off
        short = size - int(counts.sum())
        if short:
            rest = exact - counts
            counts[rng.choice(len(counts), short, replace=False, p=rest / rest.sum())] += 1
        drawn = [rng.choice(m, n, replace=False) for m, n in zip(members, counts, strict=True)]
        return _ascending(np.concatenate(drawn))


@dataclass(frozen=True)
class FewSources:
    """`size` rows of 1 to `most` sources; other sources fill up if those have too few rows."""

    size: int
    most: int = 4
    kind = "few_sources"

    def __call__(self, pool: Sequence[Example], rng: np.random.Generator) -> Indices:
        """See `Draw`."""
        size = _fitting(self.size, pool)
        members = _by_source(pool)
        order = rng.permutation(len(members))
        wanted = int(rng.integers(1, min(self.most, len(members)) + 1))
        chosen = np.concatenate([members[i] for i in order[:wanted]])
        while len(chosen) < size:
            chosen = np.concatenate([chosen, members[order[wanted]]])
            wanted += 1
        return _ascending(rng.choice(chosen, size, replace=False))


@dataclass(frozen=True, eq=False)
class FewClusters:
    """`size` rows near 1 to `most` random rows, by inner products of `features` (N, D).

    They are drawn from the 2 · `size` rows that are nearest to any of those.
    """

    size: int
    features: npt.NDArray[np.float32]
    most: int = 4
    kind = "few_clusters"

    def __call__(self, pool: Sequence[Example], rng: np.random.Generator) -> Indices:
        """See `Draw`."""
        size = _fitting(self.size, pool)
        if len(self.features) != len(pool):
            raise ArgumentError(
                f"features: expected one row per pool row ({len(pool)}), found "
                f"{len(self.features)}."
            )
        count = int(rng.integers(1, min(self.most, len(pool)) + 1))
        centres = rng.choice(len(pool), count, replace=False)
        closeness = (self.features @ self.features[centres].T).max(axis=1)
        # twice as many as needed, so that equal centres do not mean equal subsets
        near = np.argsort(-closeness, kind="stable")[: min(2 * size, len(pool))]
        return _ascending(rng.choice(near, size, replace=False))


@dataclass(frozen=True, eq=False)
class Selected:
    """A selector's own picks for a few random targets, at a k between `size`/2 and `size`·3/2."""

    size: int
    scores: Scores
    selector: Selector
    most_targets: int = 32
    vary: bool = True
    kind = "selected"

    def __call__(self, pool: Sequence[Example], rng: np.random.Generator) -> Indices:
        """See `Draw`."""
        targets, rows = self.scores.shape
        if rows != len(pool):
            raise ArgumentError(f"scores: expected {len(pool)} pool rows, found {rows}.")
        k = int(rng.integers(self.size // 2, self.size * 3 // 2 + 1)) if self.vary else self.size
        count = int(rng.integers(1, min(self.most_targets, targets) + 1))
        weights = np.zeros(targets)
        weights[rng.choice(targets, count, replace=False)] = 1.0
        picks = self.selector.select(
            self.scores, max(1, min(k, len(pool))), weights=weights.tolist()
        )
        return _ascending(picks.indices)


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
        roles: Name to evaluation positions, see `share_out`; default all are "test".

    Raises:
        ArgumentError: Nothing to draw or to draw from, a subset larger than the pool, roles that
            overlap or reach beyond the examples, or an evaluation example that is in the pool.
    """
    total = sum(count for _, count in draws)
    if not pool or not evaluation or total < 1 or repeats < 1:
        raise ArgumentError(
            "a plan needs pool rows, evaluation examples, at least 1 subset and 1 repeat; found "
            f"{len(pool)}, {len(evaluation)}, {total} and {repeats}."
        )
    pool_digests, evaluation_digests = example_digests(pool), example_digests(evaluation)
    _check_disjoint(pool, pool_digests, evaluation, evaluation_digests)
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
    named = {name: _ascending(np.asarray(rows)) for name, rows in parts.items()}
    return SubsetPlan(subsets, kinds, repeats, seed, named, pool_digests, evaluation_digests)


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


def share_out(count: int, shares: Mapping[str, float], seed: int = 0) -> dict[str, Indices]:
    """Share positions 0 … count - 1 out among roles, at random and without overlap.

    Args:
        count: Evaluation examples.
        shares: Role to its share; they sum to at most 1.
        seed: Seed of the shuffle.

    Raises:
        ArgumentError: Shares that are not above 0 or sum to more than 1, or that come to no
            example.
    """
    wanted = list(shares.values())
    if not wanted or not all(share > 0 for share in wanted) or not sum(wanted) <= 1 + 1e-9:
        raise ArgumentError(f"roles {dict(shares)}: expected shares above 0 that sum to at most 1.")
    order = np.random.default_rng([seed, count]).permutation(count)
    roles, start = {}, 0.0
    for name, share in shares.items():
        part = order[round(start * count) : round((start + share) * count)]
        if not len(part):
            raise ArgumentError(f"role {name!r}: {share} of {counted(count, 'example')} is none.")
        roles[name] = _ascending(part)
        start += share
    return roles


def _check_disjoint(
    pool: Sequence[Example],
    pool_digests: npt.NDArray[np.uint8],
    evaluation: Sequence[Example],
    evaluation_digests: npt.NDArray[np.uint8],
) -> None:
    places = {digest.tobytes(): i for i, digest in enumerate(pool_digests)}
    for i, digest in enumerate(evaluation_digests):
        if (found := places.get(digest.tobytes())) is not None:
            raise ArgumentError(
                f"evaluation example {i} (id {evaluation[i].id!r}) is also pool row {found} (id "
                f"{pool[found].id!r}); remove it from one of them."
            )


def _by_source(pool: Sequence[Example]) -> list[Indices]:
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


def _ascending(rows: npt.NDArray[np.integer]) -> Indices:
    return np.sort(rows).astype(np.int64)
