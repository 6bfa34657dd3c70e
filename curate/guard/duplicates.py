"""Pool rows that say the same thing as another row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from airrep.records import Example
from curate.guard.corpus import Corpus, Int64
from curate.guard.likeness import LONG_COMPLETION, Match, Texts, may_stand_in, near_duplicate
from curate.guard.overlap import Bools, Overlap
from curate.guard.report import Cluster, Removal
from curate.guard.spans import shared_span

DUPLICATE_SHARE = 0.8

# text -> its near-duplicates, each with how the smaller number of the two stands in the larger
Links = Mapping[int, Mapping[int, Match]]


def find_links(corpus: Corpus, overlap: Overlap, among: Bools, share: float) -> Links:
    """All near-duplicates among some texts, (S,)."""
    first, second = overlap.pairs.T
    wanted = among[first] & among[second]
    completions = corpus.part_numbers(completions=True)
    lengths = np.diff(corpus.starts) - corpus.prompts
    wanted &= (completions[first] == completions[second]) | (
        np.minimum(lengths[first], lengths[second]) >= LONG_COMPLETION
    )
    wanted &= may_stand_in(overlap, first, overlap.shared, share) | may_stand_in(
        overlap, second, overlap.shared, share
    )
    texts = Texts(corpus, overlap)
    links: dict[int, dict[int, Match]] = defaultdict(dict)
    for a, b in overlap.pairs[wanted].tolist():
        match = near_duplicate(texts[a], texts[b], share)
        if match is not None:
            links[a][b] = links[b][a] = match
    return links


def settle(
    examples: Sequence[Example], corpus: Corpus, links: Links, order: Int64
) -> tuple[tuple[Cluster, ...], dict[int, Removal]]:
    """Which rows form clusters, and which of them go.

    Args:
        examples: The pool, the corpus's first collection.
        corpus: Their texts.
        links: Texts that are near-duplicates.
        order: Positions in the pool of the rows to look at; earlier ones rather stay.

    Returns:
        Clusters by position, and position -> why a row goes.
    """
    texts = corpus.texts[0]
    clusters: list[Cluster] = []
    gone: dict[int, Removal] = {}
    for members in _clusters(texts, links, order):
        kept: dict[int, int] = {}  # text -> the row of it that stays
        for row in members:
            text = int(texts[row])
            near = links.get(text, {})
            like = next((other for other in (text, *near) if other in kept), None)
            if like is None:
                kept[text] = row
            elif like == text:
                whole = Match(1.0, 0, len(corpus.words(text)))
                gone[row] = _removal(examples[row], examples[kept[like]], whole)
            else:
                gone[row] = _removal(examples[row], examples[kept[like]], near[like], text > like)
        clusters.append(_cluster(examples, members, kept.values()))
    clusters.sort(key=lambda cluster: cluster.rows)
    return tuple(clusters), {row: gone[row] for row in sorted(gone)}


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


def _cluster(examples: Sequence[Example], members: list[int], kept: Iterable[int]) -> Cluster:
    rows = [examples[row] for row in sorted(members)]
    return Cluster(
        tuple(example.row for example in rows),
        tuple(example.id for example in rows),
        tuple(examples[row].row for row in sorted(kept)),
    )


def _removal(example: Example, kept: Example, match: Match, of_kept: bool = False) -> Removal:
    """One row that goes; the match's passage is the row's, or that of the row that stays."""
    span = shared_span(kept if of_kept else example, match)
    return Removal(example.row, example.id, "duplicate", kept.id, match.share, span)
