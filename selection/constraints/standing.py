"""The standing of a selection with each constraint, for reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from selection.constraints.bound import BoundConstraints, Integers, Limits
from selection.result import Selection


@dataclass(frozen=True)
class Standing:
    """One constraint and what the selection holds of it.

    Attributes:
        what: "all rows", "source 'a'", "target '3'", "include", "exclude".
        unit: rows or tokens.
        found: What the selection holds.
        least: What it has to, if anything.
        most: What it may, if that is bounded.
    """

    what: str
    unit: str
    found: int
    least: int | None = None
    most: int | None = None

    @property
    def met(self) -> bool:
        """Whether the constraint is kept."""
        above = self.least is None or self.found >= self.least
        return above and (self.most is None or self.found <= self.most)

    @property
    def binds(self) -> bool:
        """Whether the selection is at the bound."""
        return self.found in (self.least, self.most)

    def __str__(self) -> str:
        unit = self.unit.removesuffix("s")
        bounds = [("at least", self.least), ("at most", self.most)]
        asked = [f"{which} {number:,}" for which, number in bounds if number is not None]
        return f"{self.what}: {counted(self.found, unit)}, {' and '.join(asked)} asked for"


def standings(
    bound: BoundConstraints, chosen: Selection, k: int | None, share: npt.NDArray[np.float64]
) -> list[Standing]:
    """Each constraint's standing: the budget, sources by name, targets, rows by id.

    Args:
        bound: To the pool that `chosen` counts in.
        chosen: The selection made under it.
        k: As it was given to the selector.
        share: (targets,) weights.
    """
    limits = bound.limits(k, share, chosen.target_ids)
    rows = chosen.indices
    found: list[Standing] = []
    if limits.tokens is not None:
        held = int(bound.tokens[rows].sum())
        found.append(Standing("all rows", "tokens", held, most=limits.tokens))
    found += _sources(bound, limits, rows)
    earned = np.bincount(chosen.targets, minlength=len(share))
    for x in np.flatnonzero(limits.per_target).tolist():
        what = f"target {chosen.target_ids[x]!r}"
        found.append(Standing(what, "rows", int(earned[x]), int(limits.per_target[x])))
    if len(bound.included):
        inside = int(np.isin(bound.included, rows).sum())
        found.append(Standing("include", "rows", inside, least=len(bound.included)))
    if bound.excluded.any():
        found.append(Standing("exclude", "rows", int(bound.excluded[rows].sum()), most=0))
    return found


def _sources(bound: BoundConstraints, limits: Limits, rows: Integers) -> Iterator[Standing]:
    count = bound.count(rows)
    tokens = bound.lengths(rows)
    for s, name in enumerate(bound.names):
        what = f"source {name!r}" if name else "rows without a source"
        least = int(limits.least[s]) or None
        most = int(limits.most[s]) if limits.most[s] < limits.rows else None
        if least is not None or most is not None:
            yield Standing(what, "rows", int(count[s]), least, most)
        if limits.tokens is not None and limits.most_tokens[s] < limits.tokens:
            yield Standing(what, "tokens", int(tokens[s]), most=int(limits.most_tokens[s]))
