"""Findings of the guard, and what it did about them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from airrep.console.wording import counted, noun_for, percent

Leakage = Literal["remove", "warn", "off"]
Duplicates = Literal["first", "best", "warn", "off"]

_MOST_SHOWN = 3


@dataclass(frozen=True)
class Removal:
    """One pool row that the guard removed, or warns about, and why.

    Attributes:
        row: Position in the user's rows, from 0.
        id: The row's id.
        reason: "leak" or "duplicate".
        of: What it repeats: the id of a pool row that stays, or the name of a collection and the
            id of an example there ("targets 3", "test 17").
        share: How much of that is found again in the row, 0 to 1 (see docs/guard.md).
        span: The longest passage that they share, cut to a sensible length.
    """

    row: int
    id: str
    reason: Literal["leak", "duplicate"]
    of: str
    share: float
    span: str


@dataclass(frozen=True)
class Cluster:
    """Pool rows that are near-duplicates of one another, directly or by way of others.

    Attributes:
        rows: Their positions in the user's rows, ascending.
        ids: Their ids, in the same order.
        kept: Positions of those that stay: several, where not all are near-duplicates of one. A
            row only goes if it is itself a near-duplicate of one that stays.
    """

    rows: tuple[int, ...]
    ids: tuple[str, ...]
    kept: tuple[int, ...]


@dataclass(frozen=True)
class GuardReport:
    """What the guard did with a pool.

    Attributes:
        leakage: What was done about leaks: remove, warn or off.
        duplicates: Which row of a cluster of near-duplicates stays: first, best, or all: warn, off.
        rows: How many pool rows were looked at.
        removed: What was removed and why, leaks before duplicates, each by position.
        warned: What would have been removed, where the user only wants to be warned.
        clusters: Near-duplicates among the rows that are no removed leaks, by first position.
        seconds: How long it took.
    """

    leakage: Leakage
    duplicates: Duplicates
    rows: int
    removed: tuple[Removal, ...] = ()
    warned: tuple[Removal, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    seconds: float = 0.0

    @property
    def counts(self) -> dict[str, int]:
        """Rows, leaks and duplicates (removed or warned of), clusters, and what was removed."""
        found = [removal.reason for removal in (*self.removed, *self.warned)]
        return {
            "rows": self.rows,
            "leaks": found.count("leak"),
            "duplicates": found.count("duplicate"),
            "clusters": len(self.clusters),
            "removed": len(self.removed),
            "left": self.rows - len(self.removed),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = {**asdict(self), "counts": self.counts}
        del found["rows"]  # one of the counts
        return found

    def describe_removed(self) -> str:
        """How many rows were removed and how to keep them, for messages; "" if none were."""
        ways = []
        for reason, setting in (("leak", "leakage"), ("duplicate", "duplicates")):
            count = sum(removal.reason == reason for removal in self.removed)
            if count:
                ways.append(f'{counted(count, reason)}, kept with {setting}="warn"')
        return "; ".join(ways)

    def __str__(self) -> str:
        """The figures, and the plainest cases with what they share."""
        if self.leakage == "off" and self.duplicates == "off":
            rows = noun_for(self.rows, "row")
            return f"guard   {'off':<8}{self.rows:>10,} {rows} not looked at"
        rows = counted(self.rows, "row")
        lines = [f"guard   {'removed':<8}{len(self.removed):>10,} of {rows}"]
        for reason, setting in (("leak", self.leakage), ("duplicate", self.duplicates)):
            lines += self._section(reason, setting)
        return "\n".join(lines)

    def _section(self, reason: str, setting: str) -> list[str]:
        kind = "leak" if reason == "leak" else "near-duplicate"
        if setting == "off":
            return [f"        {kind}s were not looked for"]
        found = [r for r in (*self.removed, *self.warned) if r.reason == reason]
        option = "leakage" if reason == "leak" else "duplicates"
        done = "only reported" if setting == "warn" else f'removed ({option}="warn" keeps them)'
        clusters = ""
        if reason == "duplicate" and self.clusters:
            clusters = f" in {counted(len(self.clusters), 'cluster')}"
        lines = [f"        {counted(len(found), kind)}{clusters}" + (f", {done}" if found else "")]
        plainest = sorted(found, key=lambda removal: (-removal.share, removal.row))
        for removal in plainest[:_MOST_SHOWN]:
            of = f"row {removal.of}" if reason == "duplicate" else removal.of
            lines.append(
                f"          row {removal.id} holds {percent(removal.share)} of {of}: "
                f"“{removal.span}”"
            )
        return lines
