"""The result of a selector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from selection.objective import ObjectiveCurve


@dataclass(frozen=True)
class Certificate:
    """Whether a selection was shown to be the greedy over the whole pool, and how.

    Attributes:
        certified: Whether it was: no row that was left out would have been picked.
        rows: Rows of the pool.
        candidates: How many of them the greedy looked at in the end.
        rounds: How often it ran, each time with more candidates.
        doubtful: In the last round, how many rows the first bounds did not rule out.
        computed: In the last round, how many gains of rows left out had to be computed.
        first_doubt: The rank (from 0) from which on the selection may differ, if it was not.
    """

    certified: bool
    rows: int
    candidates: int
    rounds: int
    doubtful: int
    computed: int
    first_doubt: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        seen = f"candidates were {self.candidates:,} of {counted(self.rows, 'row')}"
        if self.certified:
            return f"certified: equal to the greedy over the whole pool; {seen}"
        return (
            f"not certified: {seen}, and more do not fit into memory_limit; from rank "
            f"{self.first_doubt} on, rows that were left out would have been picked"
        )


@dataclass(frozen=True, eq=False)
class Selection:
    """k chosen pool rows, best first: every prefix is the selection of its own size.

    Attributes:
        indices: (k,) int64 positions in the pool; the position here is the rank.
        gains: (k,) float64, by how much the row changed the selector's objective for the better
            when it was chosen, below 0 if for the worse; NaN of a selector without an objective.
        scores: (k,) float32, the row's score for the target that earned it.
        targets: (k,) int64, the target that earned the row: the one it helped most when chosen,
            or whose turn it was.
        layers: (k,) int64, the group of a layered selection that the row belongs to, from 0.
        ids: k pool ids.
        target_ids: The ids of all targets, in the order that `targets` counts in.
        method: Name of the selector.
        objective: The selector's objective after every pick; None if it has none.
        shortlist: How many pool rows the selector saw, where it might have chosen otherwise had it
            seen all of them.
        certificate: Where it saw some only, and was checked against all: what came of that.
    """

    indices: npt.NDArray[np.int64]
    gains: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float32]
    targets: npt.NDArray[np.int64]
    layers: npt.NDArray[np.int64]
    ids: Sequence[str] = field(repr=False)
    target_ids: Sequence[str] = field(repr=False)
    method: str
    objective: ObjectiveCurve | None = None
    shortlist: int | None = None
    certificate: Certificate | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        best = ", ".join(repr(name) for name in self.ids[:3])
        return (
            f"Selection({counted(len(self), 'row')} by {self.method} for "
            f"{counted(len(self.target_ids), 'target')}: {best}{', …' if len(self) > 3 else ''})"
        )

    @property
    def best_size(self) -> int | None:
        """After how many rows the objective is best; None without an objective.

        Of several layers, after how many rows of the first. Of equal values the first counts.
        """
        if self.objective is None:
            return None
        values = self.objective.values[self.layers == self.layers[0]]
        return int(np.argmax(self.objective.objective.sign * values)) + 1

    def first(self, n: int) -> Selection:
        """Its first n rows, which without constraints are the selection of n."""
        return replace(
            self,
            indices=self.indices[:n],
            gains=self.gains[:n],
            scores=self.scores[:n],
            targets=self.targets[:n],
            layers=self.layers[:n],
            ids=self.ids[:n],
            objective=None if self.objective is None else self.objective.first(n),
        )

    def relocated(self, rows: npt.NDArray[np.int64]) -> Selection:
        """The same picks, made from the pool rows `rows`, as positions in the whole pool."""
        return replace(self, indices=rows[self.indices], shortlist=len(rows))
