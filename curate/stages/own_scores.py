"""Scores and embeddings that come from elsewhere, in place of a scorer's and an encoder's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.disk.digests import content_digest, file_digest
from airrep.disk.paths import user_path
from airrep.errors import ArgumentError, EmbeddingError, FileFormatError, MissingInputError
from airrep.records import Example, rows_of
from airrep.shards.embedding_file import NPY_ERRORS, EmbeddingFile
from selection.scorers.base import described, read_with
from selection.scores import (
    BLOCK,
    BlockScores,
    EmbeddingRows,
    EmbeddingScores,
    Float32,
    SomeRows,
    check_finite,
)

OwnArray: TypeAlias = "str | Path | npt.NDArray[np.floating]"
Rows: TypeAlias = "tuple[Sequence[Example], Sequence[Example]]"


def is_own(given: object) -> TypeGuard[OwnArray]:
    """Whether it is an array, or the name of a .npy file."""
    if isinstance(given, np.ndarray):
        return True
    return isinstance(given, str | Path) and str(given).endswith(".npy")


def check_there(given: OwnArray, argument: str) -> None:
    """Refuse a file that is not there.

    Raises:
        MissingInputError: It is not.
    """
    if isinstance(given, str | Path) and not user_path(given, argument).is_file():
        raise MissingInputError(f"{argument}: no file {str(given)!r}.")


def embedding_pair(encoder: object) -> tuple[OwnArray, OwnArray] | None:
    """Embeddings of the targets and of the pool; None if it is something that encodes.

    Raises:
        ArgumentError: It is one array or file, or another list of them.
        MissingInputError: A file is not there.
    """
    if isinstance(encoder, list | tuple):
        parts = [part for part in encoder if is_own(part)]
        if len(encoder) == len(parts) == 2:
            for part in parts:
                check_there(part, "encoder")
            return parts[0], parts[1]
    elif not is_own(encoder):
        return None
    raise ArgumentError(
        "encoder: embeddings of your own are a pair of arrays or .npy files, those of the targets "
        "and those of the pool; found "
        + ("one of them." if is_own(encoder) else f"{type(encoder).__name__} of something else.")
    )


@dataclass(frozen=True, eq=False)
class OwnScores:
    """A scorer whose scores exist already.

    Attributes:
        given: (targets, pool) scores; larger means that training on the row lowers the target's
            loss more.
        rows: The targets and the pool rows that they are of. None: those that are asked for; else
            these may be some of them, known by their positions in the user's rows.
    """

    given: OwnArray
    rows: Rows | None = None
    embeds = False

    @property
    def name(self) -> str:
        """The file's name."""
        return _name(self.given) or "own scores"

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> BlockScores:
        """See `Scorer.score`; the error is an `EmbeddingError` or a `FileFormatError`."""
        everyone = self.rows or (targets, pool)
        values = own_scores(self.given, (len(everyone[0]), len(everyone[1])))
        mine, theirs = _places(everyone[0], targets), _places(everyone[1], pool)

        def block(start: int, stop: int) -> Float32:
            with np.errstate(over="ignore"):  # what float32 cannot hold is found below
                found = values[np.ix_(mine, theirs[start:stop])].astype(np.float32)
            check_finite(found, start)
            return found

        digest, kind = _digest(self.given), str(values.dtype)
        record = read_with(self.name, self.name, digest, kind, reused=len(pool))
        return BlockScores(block, **described(self, targets, pool, provenance=record))


@dataclass(frozen=True, eq=False)
class OwnEmbeddings:
    """A scorer by embeddings that exist already: their inner products.

    Attributes:
        targets: (targets, D).
        pool: (pool, D).
        rows: See `OwnScores`.
    """

    targets: OwnArray
    pool: OwnArray
    rows: Rows | None = None

    @property
    def name(self) -> str:
        """The files' names."""
        both = _name(self.targets), _name(self.pool)
        return " and ".join(both) if all(both) else "own embeddings"

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> EmbeddingScores:
        """See `Scorer.score`; the error is an `EmbeddingError`."""
        everyone = self.rows or (targets, pool)
        queries = _embeddings(self.targets, len(everyone[0]), "target")
        rows = _embeddings(self.pool, len(everyone[1]), "pool row")
        if queries.shape[1] != rows.shape[1]:
            raise EmbeddingError(
                f"encoder: expected embeddings of one size, found {queries.shape[1]} of the "
                f"targets and {rows.shape[1]} of the pool."
            )
        digest = content_digest(_digest(self.targets).encode(), _digest(self.pool).encode())
        kind = str(rows[:1].dtype)
        record = read_with(self.name, self.name, digest, kind, reused=len(pool))
        return EmbeddingScores(
            queries[:][_places(everyone[0], targets)],
            SomeRows(rows, _places(everyone[1], pool)),
            **described(self, targets, pool, provenance=record),
        )


def own_scores(given: OwnArray, shape: tuple[int, int], target: str = "target") -> npt.NDArray[Any]:
    """The user's scores, checked.

    Args:
        given: They, or the .npy file that holds them.
        shape: What their shape has to be.
        target: What a row of them is of, for messages.

    Raises:
        MissingInputError: No such file.
        FileFormatError: No .npy file of numbers.
        EmbeddingError: Another shape, or NaN or infinite somewhere.
    """
    name = str(given) if isinstance(given, str | Path) else "scores"
    values = given
    if isinstance(given, str | Path):
        check_there(given, "scores")
        try:
            values = np.load(user_path(given, "scores"), mmap_mode="r", allow_pickle=False)
        except NPY_ERRORS as error:
            raise FileFormatError(
                f"{name}: not a .npy file of numbers ({error}); numpy.save writes one."
            ) from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        found = getattr(values, "dtype", type(values).__name__)
        raise FileFormatError(f"{name}: expected one array of numbers (.npy), found {found}.")
    check_shape(name, values.shape, shape, target)
    for number, row in enumerate(values):
        bad = np.flatnonzero(~np.isfinite(row))[:1].tolist()
        if bad:
            raise EmbeddingError(
                f"{name}: the score of {target} {number} and pool row {bad[0]} (counting "
                f"from 0) is {row[bad[0]]}; expected finite numbers."
            )
    return values


def check_shape(
    name: str, found: tuple[int, ...], expected: tuple[int, int], target: str = "target"
) -> None:
    """Refuse scores of another shape than (targets, pool rows).

    Raises:
        EmbeddingError: They are.
    """
    if tuple(found) == expected:
        return
    hint = " Transpose them." if tuple(found) == expected[::-1] else ""
    raise EmbeddingError(
        f"{name}: expected scores of {counted(expected[0], target)} × "
        f"{counted(expected[1], 'pool row')}, found shape {tuple(found)}.{hint}"
    )


def _embeddings(given: OwnArray, count: int, kind: str) -> EmbeddingRows:
    """Embeddings (count, D), all of them finite."""
    name = str(given) if isinstance(given, str | Path) else f"embeddings of the {kind}s"
    rows: Any = given
    if isinstance(given, str | Path):
        rows = EmbeddingFile(user_path(given, "encoder"))
    if rows.dtype.kind != "f" or len(rows.shape) != 2 or len(rows) != count:
        hint = " Transpose them." if rows.shape[1:] == (count,) else ""
        raise EmbeddingError(
            f"{name}: expected embeddings of {counted(count, kind)}, ({count}, D) floating-point "
            f"numbers, found {rows.dtype} of shape {tuple(rows.shape)}.{hint}"
        )
    for start in range(0, count, BLOCK):
        finite = np.isfinite(rows[start : start + BLOCK]).all(axis=1)
        if not finite.all():
            raise EmbeddingError(
                f"{name}: the embedding of {kind} {start + int(np.argmin(finite))} (counting from "
                "0) has NaN or infinite numbers; expected finite ones."
            )
    found: EmbeddingRows = rows
    return found


def _places(everyone: Sequence[Example], some: Sequence[Example]) -> npt.NDArray[np.int64]:
    """Where some of the examples are among all of them, by their positions in the user's rows."""
    if everyone is some:
        return np.arange(len(some), dtype=np.int64)
    place = {row: number for number, row in enumerate(rows_of(everyone).tolist())}
    return np.array([place[row] for row in rows_of(some).tolist()], dtype=np.int64)


def _name(given: OwnArray) -> str:
    return Path(given).name if isinstance(given, str | Path) else ""


def _digest(given: OwnArray) -> str:
    if isinstance(given, str | Path):
        return file_digest(user_path(given, "scores"))
    whole = np.ascontiguousarray(given)
    return content_digest(f"{whole.dtype} {whole.shape}".encode(), whole.data)
