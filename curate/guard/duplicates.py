"""Pool rows that say the same thing as another row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from airrep.records import Example
from curate.guard.corpus import Corpus, Int64
from curate.guard.likeness import Match, Text, Texts, may_stand_in, near_duplicate
from curate.guard.overlap import Bools, Overlap, Wanted
from curate.guard.report import Cluster, Removal
from curate.guard.slots import other_tasks
from curate.guard.spans import shared_span

DUPLICATE_SHARE = 0.8
_AT_ONCE = 1 << 20  # pairs; bounds memory

# text -> its near-duplicates, each with how the smaller number of the two stands in the larger
Links = Mapping[int, Mapping[int, Match]]


def find_links(
    corpus: Corpus, overlap: Overlap, among: Bools, may_be: Wanted, share: float
) -> Links:
    """All near-duplicates among some texts, (S,)."""
    texts = Texts(corpus, overlap, whole=False)
    found: dict[tuple[int, int], Match] = {}

    def alike() -> Iterator[tuple[Text, Text]]:  # one by one, while both are ready
        for a, b in _candidates(overlap, among, may_be, share):
            match = near_duplicate(texts[a], texts[b], share)
            if match is not None:
                found[a, b] = match
                yield texts[a], texts[b]

    others = other_tasks(corpus, alike())
    links: dict[int, dict[int, Match]] = defaultdict(dict)
    for ((a, b), match), other in zip(found.items(), others, strict=True):
        if not other:
            links[a][b] = links[b][a] = match
    return links


def _candidates(
    overlap: Overlap, among: Bools, may_be: Wanted, share: float
) -> Iterator[tuple[int, int]]:
    """Pairs of texts that may be near-duplicates: cheap, and none is missed."""
    for start in range(0, len(overlap.pairs), _AT_ONCE):
        first, second = overlap.pairs[start : start + _AT_ONCE].T
        shared = overlap.shared[start : start + _AT_ONCE]
        wanted = among[first] & among[second]
        wanted &= may_be(first, second)
        wanted &= may_stand_in(overlap, first, shared, share) | may_stand_in(
            overlap, second, shared, share
        )
        yield from zip(first[wanted].tolist(), second[wanted].tolist(), strict=True)


def settle(
    pool: Sequence[Example], texts: Int64, links: Links, order: Int64
) -> tuple[tuple[Cluster, ...], dict[int, Removal]]:
    """Which rows form clusters, and which of them go.

    Args:
        pool: The examples; gone through once, in order.
        texts: (N,) the text of each of them.
        links: Texts that are near-duplicates.
        order: Positions in the pool of the rows to look at; earlier ones rather stay.

    Returns:
        Clusters by position, and position -> why a row goes.
    """
    found: list[tuple[list[int], list[int]]] = []  # all rows of a cluster, and those that stay
    gone: dict[int, tuple[int, Match | None, bool]] = {}  # row -> the one like it that stays, ...
    for members in _clusters(texts, links, order):
        kept: dict[int, int] = {}  # text -> the row of it that stays
        for row in members:
            text = int(texts[row])
            near = links.get(text, {})
            like = next((other for other in (text, *near) if other in kept), None)
            if like is None:
                kept[text] = row
            else:
                gone[row] = kept[like], near.get(like), text > like
        found.append((sorted(members), sorted(kept.values())))
    quoted: dict[int, list[tuple[int, Match | None]]] = defaultdict(list)
    for row, (stays, match, of_kept) in gone.items():
        quoted[stays if of_kept else row].append((row, match))
    names: dict[int, tuple[int, str]] = {}
    spans: dict[int, str] = {}
    wanted = {row for members, _ in found for row in members}
    for position, example in enumerate(pool) if wanted else ():
        if position in wanted:
            names[position] = example.row, example.id
            for row, match in quoted.get(position, ()):
                spans[row] = shared_span(example, match)
    clusters = []
    for rows, staying in sorted(found):
        positions, ids = zip(*map(names.__getitem__, rows), strict=True)
        clusters.append(Cluster(positions, ids, tuple(names[row][0] for row in staying)))
    removals = {}
    for row, (stays, match, _) in sorted(gone.items()):
        share = 1.0 if match is None else match.share
        removals[row] = Removal(*names[row], "duplicate", names[stays][1], share, spans[row])
    return tuple(clusters), removals


def _clusters(texts: Int64, links: Links, order: Int64) -> list[list[int]]:
    """Rows of `order` that are linked, directly or by way of others; in that order."""
    looked_at = set(texts[order].tolist())
    edges = [(a, b) for a in looked_at for b in links.get(a, ()) if a < b and b in looked_at]
    ends = np.array(edges, dtype=np.int64).reshape(-1, 2)
    size = int(texts.max(initial=-1)) + 1
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(size, size))
    group = connected_components(graph, directed=False)[1]
    members: dict[int, list[int]] = defaultdict(list)
    for row in order.tolist():
        members[int(group[texts[row]])].append(row)
    return [rows for rows in members.values() if len(rows) > 1]
