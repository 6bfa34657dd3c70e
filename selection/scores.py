"""Scores of pool rows for targets: the one statement of orientation and sign.

Scores are (targets, pool), float32. Larger means: training on this row lowers this
target's loss more. Negative means that it hurts (in a `ScoreAverage`, only that it helps less than
the average pool row). `-loss` is what scores are compared with.

Shapes: T targets, N pool rows, D embedding size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar, overload

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.errors import ArgumentError, EmbeddingError

Float32 = npt.NDArray[np.float32]
Part = TypeVar("Part")
Provenance = Sequence[Mapping[str, Any]]


class EmbeddingRows(Protocol):
    """Embeddings (n, D) that are read a slice at a time: an array, or rows on disk."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, D)."""
        ...

    def __getitem__(self, rows: slice, /) -> npt.NDArray[np.floating]: ...


class Embeddings(NamedTuple):
    """Embeddings of the targets (T, D) and of the pool (N, D), whose inner products are scores."""

    targets: Float32
    pool: EmbeddingRows


class Workers(Protocol):
    """Who looks at scores together; an `airrep.engines.Engine`."""

    def parts(
        self, look: Callable[[Sequence[int], int | None], Part], places: Sequence[int]
    ) -> list[Part]:
        """What `look` makes of the places, dealt out between all, in any order."""
        ...


# Columns computed at once. Fixed, so that the floating-point result does not depend on a setting.
BLOCK = 8192


class Scores(ABC):
    """Scores (T, N), read block by block; the whole matrix only exists if it is asked for.

    Attributes:
        target_ids: T ids.
        pool_ids: N ids.
        method: Name of the scorer.
        scale: Inverse temperature at which these scores are to be pooled over a group.
        embeddings: The embeddings whose inner products the scores are; None if there are none.
        provenance: What a manifest says of each encoder, language model or file that the scores
            were made with; see `selection.scorers.base.read_with`.
    """

    embeddings: Embeddings | None = None

    def __init__(
        self,
        shape: Sequence[int],
        target_ids: Sequence[str] | None,
        pool_ids: Sequence[str] | None,
        method: str,
        scale: float,
        provenance: Provenance,
    ) -> None:
        """Check the shape (T, N), the ids, which default to positions, and the scale."""
        self.target_ids = _ids(target_ids, shape[0], "target_ids")
        self.pool_ids = _ids(pool_ids, shape[1], "pool_ids")
        self.method, self.scale, self.provenance = method, scale, provenance
        if not len(self.target_ids):
            raise ArgumentError("no targets: give at least one example to select for.")
        if not len(self.pool_ids):
            raise ArgumentError("the pool is empty: there is nothing to select from.")
        check_scale(scale)

    def __repr__(self) -> str:
        targets, rows = self.shape
        return (
            f"{type(self).__name__}({counted(targets, 'target')} × {counted(rows, 'pool row')}, "
            f"{self.method}, scale={self.scale:g})"
        )

    @abstractmethod
    def block(self, start: int, stop: int) -> Float32:
        """Scores (T, stop - start) of these pool rows.

        Args:
            start: The first row, a multiple of BLOCK.
            stop: The row after the last; at most `start` + BLOCK.

        Raises:
            EmbeddingError: NaN or infinite somewhere.
        """

    @property
    def shape(self) -> tuple[int, int]:
        """(T, N)."""
        return len(self.target_ids), len(self.pool_ids)

    def blocks(self, starts: Iterable[int] | None = None) -> Iterator[tuple[int, Float32]]:
        """(first column, scores (T, up to BLOCK)): all, or those of these `starts`.

        Args:
            starts: First columns, multiples of BLOCK.
        """
        pool = self.shape[1]
        for start in range(0, pool, BLOCK) if starts is None else starts:
            yield start, self.block(start, min(start + BLOCK, pool))

    def scan(
        self, look: Callable[[Scores, Sequence[int], int | None], Part], step: int | None = None
    ) -> list[Part]:
        """What `look` makes of all columns: a part from everyone who looked at some.

        Args:
            look: Called with the scores (perhaps without ids), first columns `step` apart,
                ascending, and how many threads it may use (None: all). Runs elsewhere, perhaps, so
                it changes nothing; and the parts together do not depend on who looked at which
                columns.
            step: A multiple of BLOCK; default one.
        """
        return [look(self, range(0, self.shape[1], step or BLOCK), None)]

    def values(self) -> Float32:
        """The whole matrix (T, N): 4·T·N bytes (no copy if it exists already)."""
        dense = np.empty(self.shape, dtype=np.float32)
        for start, block in self.blocks():
            dense[:, start : start + block.shape[1]] = block
        return dense

    def held(self) -> DenseScores:
        """The same as a matrix that exists: 4·T·N bytes.

        Raises:
            EmbeddingError: NaN or infinite somewhere.
        """
        return self._dense(self.values(), self.pool_ids, self.embeddings)

    def columns(self, rows: npt.NDArray[np.int64]) -> DenseScores:
        """The same targets against some pool rows only, as an existing (T, len(rows)) matrix."""
        dense = np.empty((self.shape[0], len(rows)), dtype=np.float32)
        for inside, found in self.scan(partial(_columns, rows=rows)):
            dense[:, inside] = found
        embeddings = self.embeddings
        if embeddings is not None:
            embeddings = Embeddings(embeddings.targets, SomeRows(embeddings.pool, rows))
        return self._dense(dense, [self.pool_ids[i] for i in rows], embeddings)

    def _dense(
        self, values: Float32, pool_ids: Sequence[str], embeddings: Embeddings | None
    ) -> DenseScores:
        return DenseScores(
            values,
            target_ids=self.target_ids,
            pool_ids=pool_ids,
            method=self.method,
            scale=self.scale,
            embeddings=embeddings,
            provenance=self.provenance,
        )


class DenseScores(Scores):
    """Scores (T, N) in one array that exists.

    Example:
        >>> DenseScores([[1.0, 0.5], [0.0, 2.0]], scale=5)
        DenseScores(2 targets × 2 pool rows, given, scale=5)
    """

    def __init__(
        self,
        values: npt.ArrayLike,
        *,
        target_ids: Sequence[str] | None = None,
        pool_ids: Sequence[str] | None = None,
        method: str = "given",
        scale: float = 1.0,
        embeddings: Embeddings | None = None,
        provenance: Provenance = (),
    ) -> None:
        """Take the array, without a copy if it is float32; ids default to positions.

        Raises:
            EmbeddingError: Not two-dimensional, or NaN or infinite somewhere.
            ArgumentError: Empty, or ids that do not fit the shape.
        """
        array = np.asarray(values)
        if array.ndim != 2:
            raise EmbeddingError(f"scores: expected (targets, pool), found shape {array.shape}.")
        with np.errstate(over="ignore"):  # what float32 cannot hold is found below
            self._values: Float32 = array.astype(np.float32, copy=False)
        self.embeddings = embeddings
        super().__init__(array.shape, target_ids, pool_ids, method, scale, provenance)
        for start, block in self.blocks():
            check_finite(block, start)

    def block(self, start: int, stop: int) -> Float32:
        """See `Scores.block`."""
        return self._values[:, start:stop]

    def values(self) -> Float32:
        """See `Scores.values`."""
        return self._values

    def held(self) -> DenseScores:
        """See `Scores.held`."""
        return self

    def for_targets(self, targets: Sequence[int] | npt.NDArray[np.int64]) -> DenseScores:
        """The same pool rows for some targets only."""
        kept = np.asarray(targets, dtype=np.int64)
        embeddings = self.embeddings
        return DenseScores(
            self._values[kept],
            target_ids=[self.target_ids[i] for i in kept.tolist()],
            pool_ids=self.pool_ids,
            method=self.method,
            scale=self.scale,
            embeddings=embeddings and Embeddings(embeddings.targets[kept], embeddings.pool),
        )


class EmbeddingScores(Scores):
    """Inner products of target (T, D) and pool (N, D) embeddings, computed block by block.

    Example:
        >>> EmbeddingScores(np.eye(2), np.array([[0.5, 0.0], [0.0, 2.0]])).values().tolist()
        [[0.5, 0.0], [0.0, 2.0]]
    """

    embeddings: Embeddings

    def __init__(
        self,
        targets: npt.NDArray[np.floating],
        pool: EmbeddingRows,
        *,
        target_ids: Sequence[str] | None = None,
        pool_ids: Sequence[str] | None = None,
        method: str = "embedding",
        scale: float = 1.0,
        workers: Workers | None = None,
        provenance: Provenance = (),
    ) -> None:
        """Take the embeddings; those of the pool may be on disk.

        Args:
            targets: (T, D).
            pool: (N, D).
            target_ids: T ids; default positions.
            pool_ids: N ids; default positions.
            method: Name of the scorer.
            scale: See `Scores`.
            workers: Who else can compute blocks; None: this process alone.
            provenance: See `Scores`.

        Raises:
            EmbeddingError: Shapes that do not fit; NaN or infinity (found when a block is read).
        """
        if targets.ndim != 2 or len(pool.shape) != 2 or targets.shape[1] != pool.shape[1]:
            raise EmbeddingError(
                "embeddings: expected targets (T, D) and pool (N, D) of one D, found "
                f"{targets.shape} and {pool.shape}."
            )
        with np.errstate(over="ignore"):
            queries = np.ascontiguousarray(targets, dtype=np.float32)
        check_finite(queries.T, 0, "target")
        shape = len(targets), pool.shape[0]
        super().__init__(shape, target_ids, pool_ids, method, scale, provenance)
        self.embeddings, self.workers = Embeddings(queries, pool), workers
        # In float32, BLAS sums in an order that depends on where a row stands: rows that are
        # exactly alike would get scores that are not.
        self._exact = queries.astype(np.float64)

    def block(self, start: int, stop: int) -> Float32:
        """See `Scores.block`."""
        rows = np.asarray(self.embeddings.pool[start:stop], dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # what is broken is found below
            scores = (self._exact @ rows.T).astype(np.float32)
        check_finite(scores, start)
        return scores

    def scan(
        self, look: Callable[[Scores, Sequence[int], int | None], Part], step: int | None = None
    ) -> list[Part]:
        """See `Scores.scan`; the workers share the columns."""
        if self.workers is None:
            return super().scan(look, step)
        bare = EmbeddingScores(*self.embeddings, method=self.method, scale=self.scale)
        return self.workers.parts(partial(look, bare), range(0, self.shape[1], step or BLOCK))


class BlockScores(Scores):
    """Scores that a function computes, block by block."""

    def __init__(
        self,
        function: Callable[[int, int], Float32],
        target_ids: Sequence[str],
        pool_ids: Sequence[str],
        method: str,
        scale: float = 1.0,
        provenance: Provenance = (),
    ) -> None:
        """Take the function, which does what `block` says."""
        shape = len(target_ids), len(pool_ids)
        super().__init__(shape, target_ids, pool_ids, method, scale, provenance)
        self._function = function

    def block(self, start: int, stop: int) -> Float32:
        """See `Scores.block`."""
        return self._function(start, stop)


class SomeRows:
    """Some rows of embeddings that are read a slice at a time."""

    def __init__(self, pool: EmbeddingRows, rows: npt.NDArray[np.int64]) -> None:
        self._pool, self._rows = pool, rows
        self.shape = (len(rows), pool.shape[1])

    def __getitem__(self, rows: slice, /) -> npt.NDArray[np.floating]:
        wanted = self._rows[rows]
        found = np.empty((len(wanted), self.shape[1]))
        blocks = wanted // BLOCK
        for block in np.unique(blocks):
            mine = blocks == block
            first = int(wanted[mine].min())
            found[mine] = self._pool[first : int(wanted[mine].max()) + 1][wanted[mine] - first]
        return found


def _columns(
    scores: Scores, starts: Sequence[int], threads: int | None, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], Float32]:
    """Which of the rows stand in the blocks that start there, and their scores."""
    empty = np.empty((scores.shape[0], 0), dtype=np.float32)
    places, found = [np.empty(0, dtype=np.int64)], [empty]
    for start in starts:
        inside = np.flatnonzero((rows >= start) & (rows < start + BLOCK))
        if inside.size:
            block = scores.block(start, min(start + BLOCK, scores.shape[1]))
            places.append(inside)
            found.append(block[:, rows[inside] - start])
    return np.concatenate(places), np.hstack(found)


def check_scale(scale: float | None) -> None:
    """Refuse a scale that pools nothing; None stands for the scores' own.

    Raises:
        ArgumentError: Not a finite number above 0.
    """
    if scale is None:
        return
    if not isinstance(scale, int | float | np.number) or not (np.isfinite(scale) and scale > 0):
        raise ArgumentError(f"scale should be a finite number > 0, found {scale!r}.")


class _Positions(Sequence[str]):
    """Positions as ids, made when they are asked for: of ten million, a list takes 0.6 GB."""

    def __init__(self, count: int) -> None:
        self._range = range(count)

    def __len__(self) -> int:
        return len(self._range)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        found = self._range[place]
        return str(found) if isinstance(found, int) else [str(i) for i in found]


def _ids(ids: Sequence[str] | None, count: int, name: str) -> Sequence[str]:
    if ids is None:
        return _Positions(count)
    if len(ids) != count:
        raise ArgumentError(f"{name}: expected {count}, found {len(ids)}.")
    return ids


def check_finite(block: npt.NDArray[np.floating], start: int, kind: str = "pool") -> None:
    """Refuse NaN and infinity; every column of `block` is one row of the pool (or one target).

    Raises:
        EmbeddingError: Names the first row that is broken.
    """
    finite = np.isfinite(block).all(axis=0)
    if not finite.all():
        first = start + int(np.argmin(finite))
        raise EmbeddingError(
            f"{kind} row {first} (counting from 0) has NaN or infinite scores; its embedding is "
            "broken. Re-encode it, or remove the row."
        )
