"""One pass of a selector over the rows: what may be picked next.

A selector asks which rows are open, picks the best of them, and says what it took:

    steps = ConstrainedPass(...)
    while not steps.done:
        row, target = best of the rows in steps.open, for steps.needy if that is not None
        steps.take(row, target)

A pass has up to three phases. First the rows that have to be in. Then freely: of the rows after
which every minimum can still be met, whichever target the row counts for. When there is no such
row left and some targets have not earned their least, a pick has to count for one of these
(`needy`), until they have. It stays so to the end: what is needed then fills all that is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from selection.constraints.bound import BoundConstraints
from selection.constraints.feasible import check
from selection.constraints.remaining import Remaining

Mask = npt.NDArray[np.bool_]


class Pass(Protocol):
    """See the module."""

    @property
    def open(self) -> Mask | None:
        """(N,) rows that may be picked now; None for all that were not taken. Not to be kept."""
        ...

    @property
    def needy(self) -> npt.NDArray[np.int64] | None:
        """Targets, ascending, one of which the pick has to count for; None for any."""
        ...

    @property
    def phase(self) -> int:
        """Grows when rows that were closed may be open again."""
        ...

    @property
    def most(self) -> int:
        """No more rows than this will be picked."""
        ...

    @property
    def done(self) -> bool:
        """Whether there is nothing more to pick."""
        ...

    def is_open(self, row: int) -> bool:
        """Whether this row may be picked now."""
        ...

    def take(self, row: int, target: int) -> None:
        """Row, which is open, was picked and counts for the target."""
        ...


class FreePass:
    """Without constraints: k rows."""

    open = None
    needy = None
    phase = 0

    def __init__(self, k: int) -> None:
        self.most = k
        self._taken: set[int] = set()

    @property
    def done(self) -> bool:
        """See `Pass`."""
        return len(self._taken) == self.most

    def is_open(self, row: int) -> bool:
        """See `Pass`."""
        return row not in self._taken

    def take(self, row: int, target: int) -> None:
        """See `Pass`."""
        self._taken.add(row)


class ConstrainedPass:
    """Under constraints that can be met.

    Attributes:
        open: See `Pass`, as the others.
    """

    open: Mask
    needy: npt.NDArray[np.int64] | None

    def __init__(
        self,
        bound: BoundConstraints,
        k: int | None,
        share: npt.NDArray[np.float64],
        target_ids: Sequence[str],
    ) -> None:
        """Before the first pick.

        Args:
            bound: Bound to the N rows to choose from.
            k: The most rows; None for as many as the token budget holds.
            share: (T,) weights of the targets; those of weight 0 earn nothing.
            target_ids: T ids.

        Raises:
            ArgumentError: The constraints cannot be met; with the numbers, and what to loosen.
        """
        limits = bound.limits(k, share, target_ids)
        check(bound, limits)
        self.phase = 0
        self.needy = None
        self._bound = bound
        self._owed = limits.per_target.copy()
        self._remaining = Remaining(bound, limits)
        self._pending = len(bound.included)  # rows that have to be in, and are not yet
        self._free = ~bound.excluded
        self._free[bound.included] = False
        self._longest = np.zeros(len(bound.names), dtype=np.int64)
        np.maximum.at(self._longest, bound.source, bound.tokens)
        self._limits = np.full_like(self._longest, -1)
        self.most = len(bound.included) + _most(bound, self._free, self._remaining)
        self.open = np.zeros(len(self._free), dtype=bool)
        self.open[bound.included] = True
        self._refresh()

    @property
    def done(self) -> bool:
        """See `Pass`."""
        return not self.open.any()

    def is_open(self, row: int) -> bool:
        """See `Pass`."""
        return bool(self.open[row])

    def take(self, row: int, target: int) -> None:
        """See `Pass`."""
        self._owed[target] = max(0, self._owed[target] - 1)
        self.open[row] = False
        if self._pending:
            self._pending -= 1
            if not self._pending:
                self.phase += 1
        else:
            self._free[row] = False
            self._remaining.take(int(self._bound.source[row]), int(self._bound.tokens[row]))
        self._refresh()

    def _refresh(self) -> None:
        """Work out what is open now, and for whom."""
        owed = int(self._owed.sum())
        if self._pending:
            # all of them will be in: what matters is how many of them the targets need
            at_hand = self._remaining.shortest(max(0, owed - (self._pending - 1)))
            free = at_hand is not None
        elif self.needy is None or not owed:
            self._open_up_to(self._remaining.limits(owed))
            free = not owed or bool(self.open.any())
        else:
            free = False
        if not free and self.needy is None:
            self.phase += 1
        if not free and not self._pending:
            self._open_up_to(self._remaining.limits(owed - 1))
        self.needy = None if free else np.flatnonzero(self._owed)

    def _open_up_to(self, limits: npt.NDArray[np.int64]) -> None:
        """Open the free rows that are no longer than their source's limit."""
        limits = np.minimum(limits, self._longest)
        if not np.array_equal(limits, self._limits):
            self._limits = limits
            np.less_equal(self._bound.tokens, limits[self._bound.source], out=self.open)
            self.open &= self._free


def _most(bound: BoundConstraints, free: Mask, remaining: Remaining) -> int:
    """How many free rows can be picked at most."""
    most = min(remaining.slots, int(remaining.room.sum()))
    if remaining.budget is not None:
        shortest = np.cumsum(np.sort(bound.tokens[free])[:most])
        most = int(np.searchsorted(shortest, remaining.budget, side="right"))
    return most
