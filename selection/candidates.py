"""Each target's best rows, and the shortlist they make, for pools whose matrix does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce

import faiss
import numpy as np
import numpy.typing as npt

from selection.scores import EmbeddingScores, Scores, check_finite
from selection.top import TargetRows

# From here on faiss finds the candidates of embedding scores; below, it would not pay.
_FAISS_ROWS = 200_000
_FAISS_CHUNK = 1 << 18
_SPARE = 64  # rows asked of faiss beyond those wanted: room for its rounding, and for ties


def top_rows(scores: Scores, n: int, among: npt.NDArray[np.bool_] | None = None) -> TargetRows:
    """The n best rows of every target, at any size of the pool.

    Args:
        scores: (T, N).
        n: At least 1; at most N rows come back.
        among: (N,) rows to look at; default all.

    Returns:
        Row indices (T, n) and their scores (T, n), best first, exact ties by position.
    """
    everything = among is None or bool(among.all())
    if everything and isinstance(scores, EmbeddingScores) and scores.shape[1] >= _FAISS_ROWS:
        return _search(scores, min(n, scores.shape[1]))
    among = np.ones(scores.shape[1], dtype=bool) if among is None else among
    return top_rows_of(scores, [(among, n)])[0]


def top_rows_of(
    scores: Scores, wanted: Sequence[tuple[npt.NDArray[np.bool_], int]]
) -> list[TargetRows]:
    """The best rows of every target among each of several sets of rows, in one reading.

    Args:
        scores: (T, N).
        wanted: Rows to look at, (N,), and how many of them at most.

    Returns:
        As `top_rows`, for each set.
    """
    parts = scores.scan(partial(_best_among, wanted=wanted))
    return [_joined([part[i] for part in parts], n) for i, (_, n) in enumerate(wanted)]


def shortlist(scores: Scores, n: int) -> npt.NDArray[np.int64]:
    """Positions, ascending, of the rows that are among the n best of some target."""
    return np.unique(top_rows(scores, n).rows)


def _best_among(
    scores: Scores,
    starts: Sequence[int],
    threads: int | None,
    wanted: Sequence[tuple[npt.NDArray[np.bool_], int]],
) -> list[TargetRows]:
    """See `Scores.scan`; what `top_rows_of` returns, of the blocks that start there."""
    found = [TargetRows.nothing(scores.shape[0]) for _ in wanted]
    for start, block in scores.blocks(starts):
        for i, (among, n) in enumerate(wanted):
            inside = np.flatnonzero(among[start : start + block.shape[1]])
            if inside.size:
                found[i] = found[i].joined(start + inside, block[:, inside], n)
    return found


def _search(scores: EmbeddingScores, n: int) -> TargetRows:
    """Ask faiss for candidates, score them exactly, and make sure that none was missed.

    A row that faiss left out of a chunk scores no more than the last one it returned, give or take
    float32 rounding. A target whose n-th best row does not clear that (many rows tie) is scanned.
    """
    queries = scores.embeddings.targets
    parts = scores.scan(partial(_proposed, n=n), step=_FAISS_CHUNK)
    ranked = _joined([part.ranked for part in parts], n)
    left_out = np.max([part.left_out for part in parts], axis=0)
    longest = max(part.longest for part in parts)
    lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
    rounding = queries.shape[1] * 2.0**-22 * lengths * longest
    doubtful = np.flatnonzero(ranked.scores[:, -1] <= left_out + rounding)
    if doubtful.size:
        again = EmbeddingScores(queries[doubtful], scores.embeddings.pool, workers=scores.workers)
        scanned = top_rows_of(again, [(np.ones(scores.shape[1], dtype=bool), n)])[0]
        ranked.rows[doubtful], ranked.scores[doubtful] = scanned
    return ranked


@dataclass(frozen=True, eq=False)
class _Proposed:
    """What faiss found in some chunks.

    Attributes:
        ranked: Each target's best rows.
        left_out: (T,) no other row has a larger score, give or take rounding.
        longest: The largest norm of a row.
    """

    ranked: TargetRows
    left_out: npt.NDArray[np.float64]
    longest: float


def _proposed(scores: Scores, starts: Sequence[int], threads: int | None, n: int) -> _Proposed:
    """See `Scores.scan`."""
    assert scores.embeddings is not None, "faiss compares embeddings"
    queries, pool = scores.embeddings
    exact = queries.astype(np.float64)
    ranked = TargetRows.nothing(len(queries))
    left_out = np.full(len(queries), -np.inf)
    longest = 0.0
    for start in starts:
        chunk = np.ascontiguousarray(pool[start : start + _FAISS_CHUNK], dtype=np.float32)
        check_finite(chunk.T, start)  # faiss would pass over them without a word
        asked = min(n + _SPARE, len(chunk))
        rough, found = faiss.knn(queries, chunk, asked, metric=faiss.METRIC_INNER_PRODUCT)
        found = found.astype(np.int64)
        values = np.array([chunk[rows] @ query for rows, query in zip(found, exact, strict=True)])
        ranked = ranked.joined(found + start, values.astype(np.float32), n)
        if asked < len(chunk):
            left_out = np.maximum(left_out, rough[:, -1])
        longest = max(longest, float(np.linalg.norm(chunk, axis=1).max()))
    return _Proposed(ranked, left_out, longest)


def _joined(parts: Sequence[TargetRows], n: int) -> TargetRows:
    return reduce(lambda first, second: first.joined(*second, n), parts)
