"""The guard around one selection: which pool rows are scored, and which may be chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from airrep.records import Example, taken
from curate.guard import Duplicates, Findings, GuardReport, Leakage, examine
from selection.scores import Scores


@dataclass(frozen=True, eq=False)
class Kept:
    """The pool rows that may be chosen.

    Attributes:
        rows: They, in the pool's order.
        positions: (n,) where they are in the pool that was looked at, ascending.
        report: What the guard found and did.
    """

    rows: Sequence[Example]
    positions: npt.NDArray[np.int64]
    report: GuardReport


class PoolGuard:
    """Leaks and near-duplicates of one pool.

    Of near-duplicates the best-scored can only stay once there are scores: then they are all
    scored, and settled afterwards.
    """

    def __init__(
        self,
        pool: Sequence[Example],
        against: Mapping[str, Sequence[Example]],
        leakage: Leakage,
        duplicates: Duplicates,
    ) -> None:
        """Look for both.

        Args:
            pool: The usable pool rows.
            against: Name of a collection to examples that must not leak.
            leakage: See `curate.guard.examine`.
            duplicates: See `curate.guard.examine`.

        Raises:
            ArgumentError: A setting is unknown.
        """
        self._pool = pool
        self._findings: Findings = examine(pool, against, leakage=leakage, duplicates=duplicates)
        self._kept = None if duplicates == "best" else self._settle(None)

    @property
    def to_score(self) -> Sequence[Example]:
        """The rows that have to be scored."""
        if self._kept is not None:
            return self._kept.rows
        return taken(self._pool, self._findings.unleaked)

    @property
    def taken(self) -> str:
        """What was removed so far and how to keep it, for messages; "" if nothing was."""
        return "" if self._kept is None else self._kept.report.describe_removed()

    def settled(self, scores: Scores) -> tuple[Kept, Scores]:
        """What is left, and its scores, from those of `to_score`.

        A row is as good as its largest score for a target.
        """
        if self._kept is not None:
            return self._kept, scores
        strength = np.concatenate([block.max(axis=0) for _, block in scores.blocks()])
        self._kept = kept = self._settle(strength)
        if len(kept.rows) == scores.shape[1]:
            return kept, scores
        return kept, scores.columns(np.searchsorted(self._findings.unleaked, kept.positions))

    def narrow(self, positions: npt.NDArray[np.int64]) -> None:
        """Let only some of the rows that are settled be scored again, and chosen.

        Args:
            positions: Among them, ascending.
        """
        kept = self._kept
        assert kept is not None, "rows are narrowed after they are settled"
        self._kept = Kept(taken(kept.rows, positions), kept.positions[positions], kept.report)

    def _settle(self, strength: npt.NDArray[np.floating] | None) -> Kept:
        report, stays = self._findings.settle(strength)
        positions = self._findings.unleaked[stays]
        return Kept(taken(self._pool, positions), positions, report)
