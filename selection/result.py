"""What a selector returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Selection:
    """k chosen pool rows, best first: every prefix is the selection of its own size.

    Attributes:
        indices: (k,) int64 positions in the pool; the position here is the rank.
        gains: (k,) float64, what the row added to the selector's objective when it was chosen.
        scores: (k,) float32, the row's score for the target that earned it.
        targets: (k,) int64, the target that earned the row: the one it helped most when chosen,
            or whose turn it was.
        layers: (k,) int64, the group of a layered selection that the row belongs to, from 0.
        ids: k pool ids.
        target_ids: The ids of all targets, in the order that `targets` counts in.
        method: Name of the selector.
        shortlist: How many pool rows the selector saw, if fewer than all of them.
    """

    indices: npt.NDArray[np.int64]
    gains: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float32]
    targets: npt.NDArray[np.int64]
    layers: npt.NDArray[np.int64]
    ids: Sequence[str] = field(repr=False)
    target_ids: Sequence[str] = field(repr=False)
    method: str
    shortlist: int | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def relocated(self, rows: npt.NDArray[np.int64]) -> Selection:
        """The same picks, made from the pool rows `rows`, as positions in the whole pool."""
        return replace(self, indices=rows[self.indices], shortlist=len(rows))
