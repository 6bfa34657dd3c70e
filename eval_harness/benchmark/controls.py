"""Selections that no scorer makes: what every method has to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from airrep.records import Example
from selection.top import largest

Indices = npt.NDArray[np.int64]
Control = Callable[[Sequence[Example], Sequence[Example], int, np.random.Generator], Indices]


def random_rows(
    targets: Sequence[Example], pool: Sequence[Example], k: int, rng: np.random.Generator
) -> Indices:
    """K pool rows, all equally likely."""
    return rng.choice(len(pool), k, replace=False)


def length_matched(
    targets: Sequence[Example], pool: Sequence[Example], k: int, rng: np.random.Generator
) -> Indices:
    """Random rows whose prompts and completions are as long as the targets' (in characters).

    For each pick a random target is drawn, and one of the 50 rows nearest to it that are left.
    """
    lengths = np.log1p([[len(e.prompt), len(e.completion)] for e in pool])
    wanted = np.log1p([[len(e.prompt), len(e.completion)] for e in targets])
    left = np.ones(len(pool), dtype=bool)
    picks = []
    for target in rng.integers(len(targets), size=k).tolist():
        distance = np.abs(lengths - wanted[target]).sum(axis=1)
        near = largest(np.where(left, -distance, -np.inf), 50)
        pick = int(rng.choice(near[left[near]]))
        left[pick] = False
        picks.append(pick)
    return np.array(picks)


def same_source(
    targets: Sequence[Example], pool: Sequence[Example], k: int, rng: np.random.Generator
) -> Indices:
    """Random rows of the targets' sources, then of others: what knowing the source is worth."""
    own = {target.source for target in targets}
    order = rng.permutation(len(pool))
    is_own = np.array([pool[i].source in own for i in order])
    return np.concatenate([order[is_own], order[~is_own]])[:k]


CONTROLS: dict[str, Control] = {
    "random": random_rows,
    "length_matched": length_matched,
    "same_source": same_source,
}
