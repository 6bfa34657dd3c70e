"""Rows that take long to compute, kept on disk in parts until the result that they are for is.

A pass over many rows (embeddings, hidden states, gradients, losses) asks `kept_rows` for an array
to fill. Where the caller said that parts are kept (`kept_in`), what was computed is written every
15 seconds, and once more if the pass is interrupted; a pass that begins finds what there is and
computes the rest. The caller removes the parts (`discard`) when the result is written.

    .NAME.0123abcd.part     of each row a key and its values, what made them, and a digest

Rows are known by what they are (a digest of the text, of the tokens), so that another order and
other rows change nothing. A pass takes whole batches from parts or computes them whole: the values
are those of a pass that nobody disturbed, bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from glob import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from airrep.disk.atomic import atomic_file
from airrep.disk.digests import content_digest
from airrep.errors import OutputError
from airrep.version import __version__

SECONDS = 15.0  # of work, at most, that are lost when a process is killed
_KEY_BYTES = 16
_ANY_NUMBER = 8 * "[0-9a-f]"  # of a part, in the pattern of its name
_LARGEST = 1 << 31  # bytes of a state that is kept: nobody expects the disk to hold more
_SHARE = 0.05  # of the time, at most, that writing may take
_BROKEN = (OSError, ValueError, KeyError, TypeError, SafetensorError)
clock = time.monotonic


@dataclass(frozen=True)
class Place:
    """Where parts are kept: files of a name in a directory, shared by whoever works on it."""

    directory: Path
    name: str

    def files(self) -> list[Path]:
        """The parts that are there."""
        return sorted(self.directory.glob(f".{escape(self.name)}.{_ANY_NUMBER}.part"))


_PLACE: ContextVar[Place | None] = ContextVar("_PLACE", default=None)


@contextmanager
def kept_in(directory: str | Path | None, name: str) -> Iterator[None]:
    """Keep parts of what is computed in here, in files of this name.

    Args:
        directory: Where the result will be; None leaves it to who called the caller.
        name: Name of the result: another one in the same directory has another.
    """
    place = _PLACE.get() if directory is None else Place(Path(directory), name)
    token = _PLACE.set(place)
    try:
        yield
    finally:
        _PLACE.reset(token)


def discard(
    directory: str | Path, name: str, needed: Callable[[Sequence[bytes]], bool] = lambda keys: False
) -> None:
    """Remove parts: their result is written. What cannot be removed stays, and does no harm.

    Args:
        directory: See `kept_in`.
        name: See `kept_in`.
        needed: Whether a part with rows of these keys is to stay.
    """
    for file in Place(Path(directory), name).files():
        read = _read(file)
        if read is None or not needed(read.keys):
            with suppress(OSError):
                file.unlink(missing_ok=True)


class Due:
    """When to write again: after 15 seconds of work, and never for more than a 20th of the time."""

    def __init__(self) -> None:
        """Begin to wait."""
        self._next = clock() + SECONDS

    def __bool__(self) -> bool:
        return clock() >= self._next

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write in here; then begin to wait anew."""
        began = clock()
        yield
        ended = clock()
        self._next = ended + max(SECONDS, (ended - began) / _SHARE)


class Rows:
    """Values (n, ...) of rows, being computed; see `kept_rows`."""

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        """Nothing is known yet."""
        self.values: npt.NDArray[Any] = np.zeros(shape, dtype=dtype)

    def find(self, members: npt.NDArray[np.int64]) -> bool:
        """Whether all of these rows were found; then their values are there."""
        return False

    def put(self, members: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> None:
        """Take the values of rows that were computed."""
        self.values[members] = values


class KeptRows(Rows):
    """Rows that are found in parts, and written to them."""

    def __init__(
        self,
        place: Place,
        made_by: str,
        keys: Sequence[bytes],
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
    ) -> None:
        """Look for the rows of these keys among the parts that were made by the same."""
        super().__init__(shape, dtype)
        self._place, self._keys = place, keys
        self._made_by = made_by = _signed(made_by)
        self._found: dict[bytes, npt.NDArray[Any]] = {}
        self._waiting: list[npt.NDArray[np.int64]] = []
        self._due = Due()
        wanted = set(keys)
        for file in place.files():
            part = _read(file)
            if part is None or part.made_by != made_by or part.values.shape[1:] != shape[1:]:
                continue
            for key, row in zip(part.keys, part.values, strict=True):
                if key in wanted and part.values.dtype == self.values.dtype:
                    self._found[key] = row
        self._any = bool(self._found)

    def find(self, members: npt.NDArray[np.int64]) -> bool:
        """See `Rows`."""
        rows = [self._found.get(self._keys[i]) for i in members]
        if not rows or any(row is None for row in rows):
            return False
        self.values[members] = np.stack([row for row in rows if row is not None])
        return True

    def put(self, members: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> None:
        """See `Rows`; writes a part if it is time.

        Raises:
            OutputError: It cannot be written.
        """
        super().put(members, values)
        self._waiting.append(np.asarray(members))
        if self._due:
            self.write()

    def write(self) -> None:
        """Write what is in no part yet.

        Raises:
            OutputError: It cannot be.
        """
        if not self._waiting:
            return
        members = np.concatenate(self._waiting)
        with self._due.writing():
            _write(
                self._place,
                self._made_by,
                [self._keys[i] for i in members],
                np.ascontiguousarray(self.values[members]),
            )
        self._waiting = []
        self._any = True

    def finish(self) -> None:
        """Write the rest if the pass took long: its result may be far from written."""
        if self._any:
            self.write()


@contextmanager
def kept_rows(
    made_by: Callable[[], str | None],
    keys: Callable[[], Sequence[bytes]],
    shape: tuple[int, ...],
    dtype: npt.DTypeLike = np.float32,
) -> Iterator[Rows]:
    """An array to fill by a long pass; what it holds is kept where the caller keeps parts.

    Args:
        made_by: All that the values depend on beside the row, None to keep nothing; asked for only
            if parts are kept.
        keys: 16 bytes for each row, equal for rows that are equal; asked for likewise.
        shape: Shape of the array, rows first.
        dtype: Dtype of the array.

    Raises:
        OutputError: A part cannot be written.
    """
    place = _PLACE.get()
    made = None if place is None else made_by()
    if place is None or made is None:
        yield Rows(shape, dtype)
        return
    rows = KeptRows(place, made, keys(), shape, dtype)
    try:
        yield rows
    except OutputError:
        raise
    except BaseException:
        with suppress(OutputError):  # why it ended matters more
            rows.write()
        raise
    rows.finish()


class Steps:
    """Arrays that grow step by step, so that only the last state counts; see `kept_steps`."""

    def find(self) -> tuple[int, list[npt.NDArray[Any]]]:
        """How many steps were found to be done, and the arrays then; (0, []) if none were."""
        return 0, []

    def put(self, done: int, size: int, arrays: Callable[[], Sequence[npt.NDArray[Any]]]) -> None:
        """So many steps are done; arrays of `size` bytes are asked for if it is time to write."""


class KeptSteps(Steps):
    """Arrays that are found in a file, and written to it."""

    def __init__(self, place: Place, made_by: str) -> None:
        """Look for the state that the same work left."""
        self._made_by = _signed(made_by)
        self._file = place.directory / f".{place.name}.{self._made_by[:8]}.part"
        self._due = Due()

    def find(self) -> tuple[int, list[npt.NDArray[Any]]]:
        """See `Steps`."""
        try:
            with safe_open(self._file, framework="numpy") as opened:
                told = opened.metadata()
                arrays = [opened.get_tensor(str(i)) for i in range(len(opened.keys()))]
            made_by, done = told["made_by"], int(told["done"])
            if made_by != self._made_by or told["digest"] != self._digest(done, arrays):
                return 0, []
        except _BROKEN:
            return 0, []
        return done, arrays

    def put(self, done: int, size: int, arrays: Callable[[], Sequence[npt.NDArray[Any]]]) -> None:
        """See `Steps`; very large arrays are not kept.

        Raises:
            OutputError: It cannot be written.
        """
        if size > _LARGEST or not self._due:
            return
        with self._due.writing():
            kept = [np.ascontiguousarray(array) for array in arrays()]
            told = {"made_by": self._made_by, "done": str(done), "digest": self._digest(done, kept)}
            with atomic_file(self._file) as temporary:
                save_file({str(i): array for i, array in enumerate(kept)}, temporary, told)

    def _digest(self, done: int, arrays: Sequence[npt.NDArray[Any]]) -> str:
        about = [f"{array.dtype}\0{array.shape}" for array in arrays]
        return content_digest(
            "\0".join([self._made_by, str(done), *about]).encode(),
            *(array.tobytes() for array in arrays),
        )


def kept_steps(made_by: Callable[[], str]) -> Steps:
    """The state of work that goes step by step, kept where the caller keeps parts.

    Args:
        made_by: All that the arrays depend on; asked for only if parts are kept.
    """
    place = _PLACE.get()
    return Steps() if place is None else KeptSteps(place, made_by())


def _signed(made_by: str) -> str:
    """A digest of what made something, and of the versions that computed it."""
    return content_digest(f"{made_by}\0{__version__}\0{version('torch')}".encode())


@dataclass(frozen=True)
class _Part:
    made_by: str
    keys: list[bytes]
    values: npt.NDArray[Any]


def _write(place: Place, made_by: str, keys: Sequence[bytes], values: npt.NDArray[Any]) -> None:
    names = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, _KEY_BYTES)
    told = {"made_by": made_by, "digest": _digest(made_by, names, values)}
    with atomic_file(place.directory / f".{place.name}.{uuid4().hex[:8]}.part") as temporary:
        save_file({"keys": names, "values": values}, temporary, told)


def _read(file: Path) -> _Part | None:
    """A part; None if it is damaged, or gone: what it held is computed again."""
    try:
        with safe_open(file, framework="numpy") as opened:
            told = opened.metadata()
            names, values = opened.get_tensor("keys"), opened.get_tensor("values")
        if told["digest"] != _digest(told["made_by"], names, values):
            return None
    except _BROKEN:
        return None
    return _Part(told["made_by"], [name.tobytes() for name in names], values)


def _digest(made_by: str, names: npt.NDArray[np.uint8], values: npt.NDArray[Any]) -> str:
    about = f"{made_by}\0{values.dtype}\0{values.shape}".encode()
    return content_digest(about, names.tobytes(), values.tobytes())
