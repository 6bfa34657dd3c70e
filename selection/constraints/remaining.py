"""Rows that may still be chosen, and those that have to be, under constraints.

A *completion* is a set of free rows that meets every minimum that is outstanding, in the slots and
tokens that are left. A row is open if some completion contains it. Picking only open rows keeps a
completion at hand: the one that contained the row, less the row. It exists before the first pick
(`feasible.check`), so at the end, when nothing is open, the minima are met.

Whether a completion contains a row of t tokens of source s is a matter of counts and of the
shortest rows, because any row can be earned by any target. For each source, write

    need    rows that it has to give yet        φ(x)   tokens of its x shortest free rows
    room    rows that it may give yet           left   tokens that it may give yet

A completion that takes x rows of s, this one among them, does best with the x - 1 shortest others,
and elsewhere with the shortest rows that meet the other sources' needs, plus, if the targets have
to earn more rows than that, the shortest of all others that have room (each source's choices get
dearer, so that the shortest first is best). Let ψ(x) be the tokens of all this elsewhere. Then

    t + φ(x - 1) <= min(left, budget - ψ(x))      for some x from max(1, need) to room.

If the row is itself among the x - 1 shortest, the x-th shortest takes its place on the left side,
so the row is open iff max(t, length of the x-th) <= min(left, budget - ψ(x)) - φ(x - 1) for some x:
iff it is no longer than a limit of its source. Without a token budget all lengths are 0.

The larger the group, the fewer rows are open for the same outstanding rows of targets: a
completion at a later pick, plus the picks since, is one at the earlier. So rows only close.

Shapes: S sources.
"""

from __future__ import annotations

import numpy as np

from selection.constraints.bound import BoundConstraints, Integers, Limits

CLOSED = -1


class Remaining:
    """Outstanding minima and room per source; rows that have to be in count as if they were.

    Attributes:
        slots: Rows that may come yet.
        budget: Tokens that may come yet; None without a token budget.
        need: (S,) rows that have to come yet.
        room: (S,) rows that may come yet, at most those that are free.
        left: (S,) tokens that may come yet.
    """

    def __init__(self, bound: BoundConstraints, limits: Limits) -> None:
        """Before the first pick."""
        kept = bound.included
        count = bound.count(kept)
        spent = bound.lengths(kept)
        free = ~bound.excluded
        free[kept] = False
        self.slots = limits.rows - len(kept)
        self.budget = None if limits.tokens is None else limits.tokens - int(spent.sum())
        self.need = np.maximum(0, limits.least - count)
        self.room = np.minimum(limits.most - count, bound.count(free))
        self.left = limits.most_tokens - spent
        self._lengths: list[Integers] = []  # ascending, of each source's free rows
        if self.budget is not None:
            self._lengths = [bound.tokens[rows] for rows in bound.by_length(free)]

    def take(self, source: int, tokens: int) -> None:
        """A free row was picked."""
        self.slots -= 1
        self.need[source] = max(0, self.need[source] - 1)
        self.room[source] -= 1
        if self.budget is not None:
            self.budget -= tokens
            self.left[source] -= tokens
            lengths = self._lengths[source]
            self._lengths[source] = np.delete(lengths, np.searchsorted(lengths, tokens))

    def shortest(self, rows: int) -> int | None:
        """Tokens of the shortest completion with at least so many rows; None if there is none.

        Without a token budget it is one of exactly as many rows as there are slots, and 0 tokens.
        """
        demanded = int(self.need.sum())
        if (self.need > self.room).any() or max(rows, demanded) > self.slots:
            return None
        if self.budget is None:
            return 0 if int(self.room.sum()) >= self.slots else None
        reserved = self.reserved()
        if (reserved > self.left).any():
            return None
        more = max(0, rows - demanded)
        others, _ = self._others(more)
        total = int(reserved.sum() + others[:more].sum())
        return total if len(others) >= more and total <= self.budget else None

    def limits(self, rows: int) -> Integers:
        """(S,) the longest row of each source after which a completion of `rows` rows is left.

        CLOSED for a source of which no row can come.
        """
        elsewhere = int(self.need.sum()) - self.need
        first = np.maximum(1, self.need)  # x, the source's rows in a completion
        last = np.minimum(self.room, self.slots - elsewhere)
        possible = (first <= last) & (rows < self.slots)
        if self.budget is None:
            return np.where(possible, 0, CLOSED)
        reserved = self.reserved()
        limits = np.full(len(first), CLOSED, dtype=np.int64)
        # rows that sources have to add to what is demanded of them, if s gives as few as it may
        more = np.maximum(0, rows - (first - 1) - elsewhere)
        others, owner = self._others(int(more[possible].max(initial=0)))
        alone = possible & (self.need == 0) & (more == 0)  # x is 1, and changes nothing elsewhere
        limits[alone] = np.minimum(self.left, self.budget - reserved.sum())[alone]
        for s in np.flatnonzero(possible & ~alone):
            # more rows of s than save one elsewhere only cost
            x = np.arange(first[s], min(last[s], first[s] + more[s]) + 1)
            prefix = np.append(0, np.cumsum(self._lengths[s][: x[-1]]))
            added = np.append(0, np.cumsum(others[owner != s]))
            extra = np.maximum(0, rows - (x - 1) - elsewhere[s])
            x, extra = x[extra < len(added)], extra[extra < len(added)]
            spare = self.budget - (reserved.sum() - reserved[s]) - added[extra]
            longest = np.minimum(self.left[s], spare) - prefix[x - 1]
            reached = longest[prefix[x] - prefix[x - 1] <= longest]
            limits[s] = reached.max(initial=CLOSED)
        return limits

    def reserved(self) -> Integers:
        """(S,) tokens of the shortest rows that the sources have to give yet."""
        reserved = np.zeros(len(self.need), dtype=np.int64)
        for s in np.flatnonzero(self.need):
            reserved[s] = self._lengths[s][: self.need[s]].sum()
        return reserved

    def _others(self, most: int) -> tuple[Integers, Integers]:
        """The shortest rows that sources may give beyond what they have to, and their sources.

        Ascending; enough that leaving out any one source's leaves `most`, if there are so many.
        """
        if not most:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        lengths, owners = [], []
        for s, needed in enumerate(self.need):
            given = self._lengths[s][: min(self.room[s], needed + most)]
            fits = int(np.searchsorted(np.cumsum(given), self.left[s], side="right"))
            lengths.append(given[needed:fits])
            owners.append(np.full(len(lengths[-1]), s))
        merged, owner = np.concatenate(lengths), np.concatenate(owners)
        order = np.argsort(merged, kind="stable")[: 2 * most]
        return merged[order], owner[order]
