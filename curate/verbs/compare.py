"""The verb `compare`: how two selections of one pool differ."""

from __future__ import annotations

from pathlib import Path

from airrep.disk.paths import user_path
from curate.report.comparison import Comparison
from curate.report.kept.file import read_insight


def compare(first: str | Path, second: str | Path) -> Comparison:
    """Say how two selections of one pool differ: in rows, in sources, in whom they serve.

    Args:
        first: Directory of a selection, which `curate select --output` wrote.
        second: Directory of another.

    Returns:
        The comparison; as text, what there is to say.

    Raises:
        MissingInputError: A directory holds no selection.
        FileFormatError: What it holds is damaged.
        ArgumentError: The selections are of different pools.

    Example:
        >>> import curate
        >>> pool, targets = curate.demo_pool(80), curate.demo_targets("email_reply", 2)
        >>> for scorer in ("tfidf", "bm25"):
        ...     _ = curate.select(pool, targets, k=10, scorer=scorer, output=scorer)
        >>> 0 < curate.compare("tfidf", "bm25").overlap <= 1
        True
    """
    places = user_path(first, "first"), user_path(second, "second")
    names = str(first), str(second)
    if places[0].resolve().name != places[1].resolve().name:  # which tells them apart
        names = places[0].resolve().name, places[1].resolve().name
    return Comparison(names, *map(read_insight, places))
