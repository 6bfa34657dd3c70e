"""Each target's best rows, and the shortlist they make, for pools whose matrix does not fit."""

from __future__ import annotations

import faiss
import numpy as np
import numpy.typing as npt

from selection.scores import EmbeddingRows, ScoreMatrix, check_finite

# From here on faiss finds the candidates of embedding scores; below, it would not pay.
_FAISS_ROWS = 200_000
_FAISS_CHUNK = 1 << 18


def top_rows(scores: ScoreMatrix, n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The n best rows of every target.

    Args:
        scores: (T, N).
        n: At least 1; at most N rows come back.

    Returns:
        Row indices (T, n) and their scores (T, n), best first, exact ties by position; but for
        faiss, which rounds scores its own way, and of ties for the n-th place keeps any.
    """
    if scores.embeddings is not None and scores.shape[1] >= _FAISS_ROWS:
        return _search(*scores.embeddings, n)
    targets = scores.shape[0]
    rows = np.empty((targets, 0), dtype=np.int64)
    values = np.empty((targets, 0), dtype=np.float32)
    for start, block in scores.blocks():
        numbers = np.broadcast_to(np.arange(start, start + block.shape[1]), block.shape)
        rows, values = _best(np.hstack([rows, numbers]), np.hstack([values, block]), n)
    return rows, values


def shortlist(scores: ScoreMatrix, n: int) -> npt.NDArray[np.int64]:
    """Positions, ascending, of the rows that are among the n best of some target."""
    return np.unique(top_rows(scores, n)[0])


def _search(
    queries: npt.NDArray[np.float32], pool: EmbeddingRows, n: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Exact inner-product search, one chunk of the pool in memory at a time."""
    rows = np.empty((len(queries), 0), dtype=np.int64)
    values = np.empty((len(queries), 0), dtype=np.float32)
    for start in range(0, pool.shape[0], _FAISS_CHUNK):
        chunk = np.ascontiguousarray(pool[start : start + _FAISS_CHUNK], dtype=np.float32)
        check_finite(chunk.T, start)  # faiss would pass over them without a word
        found_values, found = faiss.knn(
            queries, chunk, min(n, len(chunk)), metric=faiss.METRIC_INNER_PRODUCT
        )
        rows, values = _best(np.hstack([rows, found + start]), np.hstack([values, found_values]), n)
    return rows, values


def _best(
    rows: npt.NDArray[np.int64], values: npt.NDArray[np.float32], n: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Keep the n largest of each line, sorted; ties by row."""
    kept = min(n, values.shape[1])
    best_rows = np.empty((len(rows), kept), dtype=np.int64)
    best_values = np.empty((len(rows), kept), dtype=np.float32)
    for x, line in enumerate(values):
        last = np.partition(line, len(line) - kept)[len(line) - kept]
        among = np.flatnonzero(line >= last)  # all rows that tie with the last one, too
        order = among[np.lexsort((rows[x, among], -line[among]))][:kept]
        best_rows[x], best_values[x] = rows[x, order], line[order]
    return best_rows, best_values
