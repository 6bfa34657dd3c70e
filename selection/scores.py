"""Scores of pool rows for targets: the one statement of orientation and sign.

A score matrix is (targets, pool), float32. Larger means: training on this row lowers this
target's loss more. Negative means that it hurts (in a `ScoreAverage`, only that it helps less than
the average pool row). `-loss` is what scores are compared with.

Shapes: T targets, N pool rows, D embedding size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, TypeVar, overload

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.errors import ArgumentError, EmbeddingError

Float32 = npt.NDArray[np.float32]
BlockFunction = Callable[[int, int], Float32]
Part = TypeVar("Part")


class EmbeddingRows(Protocol):
    """Embeddings (n, D) that are read a slice at a time: an array, or rows on disk."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, D)."""
        ...

    def __getitem__(self, rows: slice, /) -> npt.NDArray[np.floating]: ...


class Workers(Protocol):
    """Who looks at scores together; an `airrep.engines.Engine`."""

    def parts(
        self, look: Callable[[Sequence[int], int | None], Part], places: Sequence[int]
    ) -> list[Part]:
        """What `look` makes of the places, dealt out between all, in any order."""
        ...


# Columns computed at once. Fixed, so that the floating-point result does not depend on a setting.
BLOCK = 8192


@dataclass(frozen=True, eq=False)
class ScoreMatrix:
    """Scores (T, N), computed block by block; the whole only exists if asked for.

    Attributes:
        block: (start, stop) -> scores (T, stop - start) of those pool rows; `start` is a multiple
            of BLOCK and the span at most BLOCK.
        target_ids: T ids.
        pool_ids: N ids.
        method: Name of the scorer.
        scale: Inverse temperature at which these scores are to be pooled over a group.
        embeddings: (targets (T, D), pool (N, D)) if the scores are their inner products.
        dense: The whole matrix, if it exists already.
        workers: Who else can compute blocks; None: this process alone.
    """

    block: BlockFunction = field(repr=False)
    target_ids: Sequence[str] = field(repr=False)
    pool_ids: Sequence[str] = field(repr=False)
    method: str
    scale: float = 1.0
    embeddings: tuple[Float32, EmbeddingRows] | None = field(default=None, repr=False)
    dense: Float32 | None = field(default=None, repr=False)
    workers: Workers | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        targets, rows = len(self.target_ids), len(self.pool_ids)
        return (
            f"ScoreMatrix({counted(targets, 'target')} × {counted(rows, 'pool row')}, "
            f"{self.method}, scale={self.scale:g})"
        )

    def __post_init__(self) -> None:
        if not len(self.target_ids):
            raise ArgumentError("no targets: give at least one example to select for.")
        if not len(self.pool_ids):
            raise ArgumentError("the pool is empty: there is nothing to select from.")
        check_scale(self.scale)

    @classmethod
    def from_array(
        cls,
        values: npt.ArrayLike,
        *,
        target_ids: Sequence[str] | None = None,
        pool_ids: Sequence[str] | None = None,
        method: str = "given",
        scale: float = 1.0,
    ) -> ScoreMatrix:
        """Scores that exist already, (T, N); ids default to positions.

        Raises:
            EmbeddingError: Not two-dimensional, or NaN or infinite somewhere.
            ArgumentError: Empty, or ids that do not fit the shape.
        """
        array = np.asarray(values)
        if array.ndim != 2:
            raise EmbeddingError(f"scores: expected (targets, pool), found shape {array.shape}.")
        with np.errstate(over="ignore"):  # what float32 cannot hold is found below
            array = array.astype(np.float32, copy=False)
        matrix = cls(
            lambda start, stop: array[:, start:stop],
            _ids(target_ids, array.shape[0], "target_ids"),
            _ids(pool_ids, array.shape[1], "pool_ids"),
            method,
            scale,
            dense=array,
        )
        for start, block in matrix.blocks():
            check_finite(block, start)
        return matrix

    @classmethod
    def from_embeddings(
        cls,
        targets: npt.NDArray[np.floating],
        pool: EmbeddingRows,
        *,
        target_ids: Sequence[str] | None = None,
        pool_ids: Sequence[str] | None = None,
        method: str = "embedding",
        scale: float = 1.0,
    ) -> ScoreMatrix:
        """Inner products of target (T, D) and pool (N, D) embeddings; the pool may be on disk.

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

        # In float32, BLAS sums in an order that depends on where a row stands: rows that are
        # exactly alike would get scores that are not.
        exact = queries.astype(np.float64)

        def block(start: int, stop: int) -> Float32:
            with np.errstate(over="ignore", invalid="ignore"):  # what is broken is found below
                products = exact @ np.asarray(pool[start:stop], dtype=np.float64).T
                scores = products.astype(np.float32)
            check_finite(scores, start)
            return scores

        return cls(
            block,
            _ids(target_ids, targets.shape[0], "target_ids"),
            _ids(pool_ids, pool.shape[0], "pool_ids"),
            method,
            scale,
            (queries, pool),
        )

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
        self,
        look: Callable[[ScoreMatrix, Sequence[int], int | None], Part],
        step: int | None = None,
    ) -> list[Part]:
        """What `look` makes of all columns: a part from everyone who looked at some.

        Args:
            look: Called with the scores (without ids), first columns `step` apart, ascending, and
                how many threads it may use (None: all). Runs elsewhere, perhaps, so it changes
                nothing; and the parts together do not depend on who looked at which columns.
            step: A multiple of BLOCK; default one.
        """
        starts = range(0, self.shape[1], step or BLOCK)
        if self.workers is None or self.dense is not None:
            return [look(self, starts, None)]
        bare = replace(
            self,
            target_ids=_Positions(self.shape[0]),
            pool_ids=_Positions(self.shape[1]),
            workers=None,
        )
        return self.workers.parts(partial(look, bare), starts)

    def values(self) -> Float32:
        """The whole matrix (T, N): 4·T·N bytes (no copy if it exists already)."""
        if self.dense is not None:
            return self.dense
        dense = np.empty(self.shape, dtype=np.float32)
        for start, block in self.blocks():
            dense[:, start : start + block.shape[1]] = block
        return dense

    def held(self) -> ScoreMatrix:
        """The same as a matrix that exists: 4·T·N bytes.

        Raises:
            EmbeddingError: NaN or infinite somewhere.
        """
        matrix = ScoreMatrix.from_array(
            self.values(),
            target_ids=self.target_ids,
            pool_ids=self.pool_ids,
            method=self.method,
            scale=self.scale,
        )
        return replace(matrix, embeddings=self.embeddings)

    def for_targets(self, targets: Sequence[int] | npt.NDArray[np.int64]) -> ScoreMatrix:
        """The same pool rows for some targets only."""
        kept = np.asarray(targets, dtype=np.int64)
        part = replace(
            self,
            block=lambda start, stop: self.block(start, stop)[kept],
            target_ids=[self.target_ids[i] for i in kept.tolist()],
            dense=None if self.dense is None else self.dense[kept],
            workers=None,
        )
        if self.embeddings is None:
            return part
        return replace(part, embeddings=(self.embeddings[0][kept], self.embeddings[1]))

    def columns(self, rows: npt.NDArray[np.int64]) -> ScoreMatrix:
        """The same targets against some pool rows only, as an existing (T, len(rows)) matrix."""
        dense = np.empty((self.shape[0], len(rows)), dtype=np.float32)
        for inside, found in self.scan(partial(_columns, rows=rows)):
            dense[:, inside] = found
        matrix = ScoreMatrix.from_array(
            dense,
            target_ids=self.target_ids,
            pool_ids=[self.pool_ids[i] for i in rows],
            method=self.method,
            scale=self.scale,
        )
        if self.embeddings is None:
            return matrix
        targets, pool = self.embeddings
        return replace(matrix, embeddings=(targets, _SomeRows(pool, rows)))


class _SomeRows:
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
    scores: ScoreMatrix, starts: Sequence[int], threads: int | None, rows: npt.NDArray[np.int64]
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
