"""Sources of the pool's rows and of the chosen ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from airrep.console.wording import counted
from curate.report.kept.insight import Insight

NO_SOURCE = "(no source)"
SHOWN = 14


@dataclass(frozen=True)
class SourceShare:
    """One source, or several that are shown as one.

    Attributes:
        name: Name of the source.
        pool: Its rows in the pool.
        chosen: Its rows in the selection.
        pool_share: Its share of the pool, 0 to 1.
        chosen_share: Its share of the selection, 0 to 1.
        sources: How many sources it stands for.
    """

    name: str
    pool: int
    chosen: int
    pool_share: float
    chosen_share: float
    sources: int = 1

    @property
    def change(self) -> float:
        """Share of the selection less share of the pool."""
        return self.chosen_share - self.pool_share


def composition(insight: Insight, shown: int = SHOWN) -> list[SourceShare]:
    """Sources in the order of the change of their share, growth first.

    Args:
        insight: What is known of a selection.
        shown: At most so many; the others, whose shares changed least, come last as one.
    """
    pool = Counter(source or NO_SOURCE for source in insight.sources)
    picked = insight.selection.indices.tolist()
    chosen = Counter(insight.sources[i] or NO_SOURCE for i in picked)

    def share(name: str, names: list[str]) -> SourceShare:
        before, after = sum(pool[n] for n in names), sum(chosen[n] for n in names)
        return SourceShare(
            name, before, after, before / len(insight.sources), after / len(picked), len(names)
        )

    shares = sorted((share(n, [n]) for n in pool), key=lambda s: (-abs(s.change), s.name))
    kept = shares if len(shares) <= shown else shares[: shown - 1]
    ordered = sorted(kept, key=lambda s: (-s.change, s.name))
    rest = [s.name for s in shares[len(kept) :]]
    return [*ordered, share(counted(len(rest), "other source"), rest)] if rest else ordered
