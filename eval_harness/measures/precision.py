"""The share of chosen rows that come from the targets' own source.

A proxy that costs nothing, for pools whose sources are known. It does not replace fine-tuning:
rows from elsewhere can help, and copies of one row score as well as variety does.
"""

from __future__ import annotations

from collections.abc import Sequence

from airrep.errors import ArgumentError
from airrep.records import Example
from selection.result import Selection


def source_precision(
    selection: Selection, pool: Sequence[Example], sources: Sequence[str] | set[str]
) -> float:
    """Share of the chosen rows whose source is one of `sources`, from 0 to 1.

    Args:
        selection: Positions in `pool`.
        pool: The examples that were chosen from.
        sources: Source names that count as right.

    Raises:
        ArgumentError: No pool row is from any of `sources`, so the figure would mean nothing.

    Example:
        >>> import numpy as np
        >>> from selection import DenseScores
        >>> from selection.selectors import TopK
        >>> pool = [Example(str(i), "q", "a", source) for i, source in enumerate("xyx")]
        >>> chosen = TopK().select(DenseScores(np.array([[3.0, 2.0, 1.0]])), 2)
        >>> source_precision(chosen, pool, ["x"])
        0.5
    """
    wanted = set(sources)
    if not any(example.source in wanted for example in pool):
        raise ArgumentError(f"no pool row is from {sorted(wanted)}; check the source column.")
    hits = sum(pool[i].source in wanted for i in selection.indices.tolist())
    return hits / len(selection)
