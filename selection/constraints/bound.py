"""Constraints tied to the rows of one pool, and their amounts in whole rows and tokens.

Shapes: N pool rows, S sources, T targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.errors import ArgumentError
from selection.constraints.request import (
    EVERY_OTHER,
    Amount,
    Constraints,
    at_least,
    at_most,
    is_share,
    listed,
)

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Limits:
    """What one selection may and has to hold, in whole numbers.

    Attributes:
        rows: The most rows; without a token budget the selection has exactly so many.
        tokens: The token budget, if there is one.
        least: (S,) rows.
        most: (S,) rows.
        most_tokens: (S,) tokens; the budget where nothing less was asked for, 0 without one.
        per_target: (T,) rows that each target has to earn.
    """

    rows: int
    tokens: int | None
    least: Integers
    most: Integers
    most_tokens: Integers
    per_target: Integers


@dataclass(frozen=True, eq=False)
class BoundConstraints:
    """Constraints, and what they need to know of each pool row.

    Attributes:
        asked: The constraints.
        names: S sources, sorted.
        source: (N,) int64, positions in `names`.
        tokens: (N,) int64, the rows' lengths; 0 without a token budget.
        included: (P,) int64 positions of rows that have to be in, ascending.
        excluded: (N,) bool, rows that must not be in.
    """

    asked: Constraints
    names: Sequence[str] = field(repr=False)
    source: Integers = field(repr=False)
    tokens: Integers = field(repr=False)
    included: Integers = field(repr=False)
    excluded: npt.NDArray[np.bool_] = field(repr=False)

    @classmethod
    def bind(
        cls,
        asked: Constraints,
        ids: Sequence[str],
        sources: Sequence[str],
        tokens: npt.ArrayLike | None = None,
    ) -> BoundConstraints:
        """Find the rows that the constraints speak of.

        Args:
            asked: The constraints.
            ids: N row ids.
            sources: N names, "" for rows of no named source.
            tokens: (N,) lengths, whole numbers >= 1; needed for a token budget.

        Raises:
            ArgumentError: A row or source is not in the pool, or lengths that cannot be right.
        """
        rows = len(ids)
        if len(sources) != rows:
            raise ArgumentError(
                f"constraints: {rows} row ids and {counted(len(sources), 'source')}."
            )
        names = sorted(set(sources))
        number = {name: i for i, name in enumerate(names)}
        for argument in ("max_per_source", "min_per_source"):
            unknown = sorted(set(getattr(asked, argument) or ()) - {*names, EVERY_OTHER})
            if unknown:
                raise ArgumentError(
                    f"constraints: {argument} names source {unknown[0]!r}, which no pool row "
                    f"comes from; the pool's sources are {listed(names)}."
                )
        excluded = np.zeros(rows, dtype=bool)
        excluded[_positions(asked.exclude, ids, "exclude")] = True
        return cls(
            asked,
            names,
            np.array([number[name] for name in sources], dtype=np.int64),
            _lengths(tokens, rows, asked.max_tokens is not None),
            _positions(asked.include, ids, "include"),
            excluded,
        )

    def columns(self, rows: Integers) -> BoundConstraints:
        """The same constraints on some of the pool's rows only.

        Raises:
            ArgumentError: A row that has to be in is not among them.
        """
        place = np.full(len(self.source), -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        missing = self.included[place[self.included] < 0]
        if missing.size:
            raise ArgumentError(
                f"constraints: pool row {missing[0]} has to be in, and is not among the "
                f"{counted(len(rows), 'row')} to choose from."
            )
        return replace(
            self,
            source=self.source[rows],
            tokens=self.tokens[rows],
            included=np.sort(place[self.included]),
            excluded=self.excluded[rows],
        )

    def count(self, among: npt.NDArray[np.bool_] | Integers) -> Integers:
        """Rows of each source, (S,), among some of the pool's."""
        return np.bincount(self.source[among], minlength=len(self.names))

    def lengths(self, among: Integers) -> Integers:
        """Tokens of each source, (S,), of some of the pool's rows."""
        total = np.zeros(len(self.names), dtype=np.int64)
        np.add.at(total, self.source[among], self.tokens[among])
        return total

    def by_length(self, usable: npt.NDArray[np.bool_]) -> list[Integers]:
        """Each source's usable rows (of a mask), the shortest first."""
        rows = np.flatnonzero(usable)
        order = rows[np.lexsort((self.tokens[rows], self.source[rows]))]
        return np.split(order, np.cumsum(self.count(usable))[:-1])

    def room(self, k: int, share: npt.NDArray[np.float64], target_ids: Sequence[str]) -> int:
        """The most rows, up to k, that sources and excluded rows leave to choose.

        Args:
            k: The most rows. Shares of sources are of the rows that are chosen, so that fewer rows
                leave less room.
            share: See `limits`.
            target_ids: See `limits`.
        """
        usable = self.count(~self.excluded)
        while k > 0:
            possible = int(np.minimum(self.limits(k, share, target_ids).most, usable).sum())
            if possible >= k:
                break
            k = possible
        return k

    def limits(
        self, k: int | None, share: npt.NDArray[np.float64], target_ids: Sequence[str]
    ) -> Limits:
        """The amounts in whole rows and tokens.

        Args:
            k: The most rows; None for as many as the token budget holds.
            share: (T,) weights of the targets.
            target_ids: T ids.

        Raises:
            ArgumentError: Neither k nor a budget, a minimum share of a number of rows that nobody
                knows, an unknown target, or one of weight 0.
        """
        budget = self.asked.max_tokens
        if k is None and budget is None:
            raise ArgumentError(
                "k is None and constraints.max_tokens is not given; one of them has to say how "
                "much to choose."
            )
        rows = len(self.source) if k is None else int(k)
        most = np.full(len(self.names), rows, dtype=np.int64)
        most_tokens = np.full(len(self.names), budget or 0, dtype=np.int64)
        for s, amount in self._each(self.asked.max_per_source):
            if budget is not None and is_share(amount):
                most_tokens[s] = at_most(amount, budget)
            else:
                most[s] = min(rows, at_most(amount, rows))
        least = np.zeros(len(self.names), dtype=np.int64)
        for s, amount in self._each(self.asked.min_per_source):
            self._check_minimum(amount, f"min_per_source of {self.names[s]!r}")
            least[s] = at_least(amount, rows)
        per_target = self._per_target(rows, share, target_ids)
        return Limits(rows, budget, least, most, most_tokens, per_target)

    def _each(self, amounts: Mapping[str, Amount] | None) -> list[tuple[int, Amount]]:
        """(source, amount) of every source that the mapping binds."""
        if not amounts:
            return []
        other = amounts.get(EVERY_OTHER)
        named = [(s, amounts.get(name, other)) for s, name in enumerate(self.names)]
        return [(s, amount) for s, amount in named if amount is not None]

    def _per_target(
        self, rows: int, share: npt.NDArray[np.float64], target_ids: Sequence[str]
    ) -> Integers:
        least = np.zeros(len(share), dtype=np.int64)
        asked = self.asked.min_per_target
        if asked is None:
            return least
        amounts = asked if isinstance(asked, Mapping) else {EVERY_OTHER: asked}
        unknown = sorted(set(amounts) - {*target_ids, EVERY_OTHER})
        if unknown:
            raise ArgumentError(
                f"constraints: min_per_target names target {unknown[0]!r}; the targets are "
                f"{listed(list(target_ids))}."
            )
        for x, name in enumerate(target_ids):
            amount = amounts.get(name, amounts.get(EVERY_OTHER) if share[x] else None)
            if amount is None:
                continue
            self._check_minimum(amount, f"min_per_target of {name!r}")
            least[x] = at_least(amount, rows)
            if least[x] and not share[x]:
                raise ArgumentError(
                    f"constraints: target {name!r} has weight 0 and earns no rows, and "
                    f"min_per_target wants {least[x]}; give it a weight or no minimum."
                )
        return least

    def _check_minimum(self, amount: Amount, name: str) -> None:
        if self.asked.max_tokens is not None and is_share(amount):
            raise ArgumentError(
                f"constraints: {name} is the share {amount}, beside max_tokens. How many rows a "
                "token budget holds is only known in the end, so that a least share could not be "
                "kept for sure; ask for a number of rows, or give k without max_tokens."
            )


def _positions(wanted: Sequence[str | int], ids: Sequence[str], argument: str) -> Integers:
    """Positions of the rows of these ids, ascending."""
    if not wanted:
        return np.empty(0, dtype=np.int64)
    names = {str(name) for name in wanted}
    found: dict[str, list[int]] = {}
    for row, id_ in enumerate(ids):
        if id_ in names:
            found.setdefault(id_, []).append(row)
    for name in wanted:
        rows = found.get(str(name), [])
        if not rows:
            raise ArgumentError(
                f"constraints: {argument} names row {name!r}, which is not in the pool; its ids "
                f"are {listed(ids[:4], 3)}. Ids are positions from 0 unless columns names an id."
            )
        if argument == "include" and len(rows) > 1:
            raise ArgumentError(
                f"constraints: include names {name!r}, the id of {len(rows)} rows ({rows[0]}, "
                f"{rows[1]}, counting from 0); make the pool's ids unique."
            )
    return np.sort(np.array([row for rows in found.values() for row in rows], dtype=np.int64))


def _lengths(tokens: npt.ArrayLike | None, rows: int, needed: bool) -> Integers:
    if not needed:
        return np.zeros(rows, dtype=np.int64)
    if tokens is None:
        raise ArgumentError("constraints: max_tokens needs the number of tokens of every row.")
    lengths = np.asarray(tokens)
    if lengths.shape != (rows,) or not np.issubdtype(lengths.dtype, np.integer):
        raise ArgumentError(
            f"constraints: expected a whole number of tokens for each of {counted(rows, 'row')}, "
            f"found {lengths.dtype} of shape {lengths.shape}."
        )
    if (lengths < 1).any():
        row = int(np.argmax(lengths < 1))
        raise ArgumentError(
            f"constraints: pool row {row} (counting from 0) has {lengths[row]} tokens; expected at "
            "least 1. Remove the row."
        )
    return lengths.astype(np.int64)
