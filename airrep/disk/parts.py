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

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
        found = _read(file)
        if found is None or "keys" not in found[1] or not needed(_keys(found[1])):
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
            told, part = _read(file) or ([], {})
            if told != [made_by] or part["values"].shape[1:] != shape[1:]:
                continue
            if part["values"].dtype != self.values.dtype:
                continue
            found = zip(_keys(part), part["values"], strict=True)
            self._found |= {key: row for key, row in found if key in wanted}
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
            names = np.frombuffer(b"".join(self._keys[i] for i in members), dtype=np.uint8)
            part = {"keys": names.reshape(-1, _KEY_BYTES), "values": self.values[members]}
            file = self._place.directory / f".{self._place.name}.{uuid4().hex[:8]}.part"
            _write(file, [self._made_by], part)
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
        found = _read(self._file)
        if found is None or found[0][0] != self._made_by:
            return 0, []
        (_, done), arrays = found
        return int(done), [arrays[str(i)] for i in range(len(arrays))]

    def put(self, done: int, size: int, arrays: Callable[[], Sequence[npt.NDArray[Any]]]) -> None:
        """See `Steps`; very large arrays are not kept.

        Raises:
            OutputError: It cannot be written.
        """
        if size > _LARGEST or not self._due:
            return
        with self._due.writing():
            kept = {str(i): array for i, array in enumerate(arrays())}
            _write(self._file, [self._made_by, str(done)], kept)


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


def _write(file: Path, told: Sequence[str], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    kept = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    about = {"told": json.dumps(told), "digest": _digest(told, kept)}
    with atomic_file(file) as temporary:
        save_file(kept, temporary, about)


def _read(file: Path) -> tuple[list[str], dict[str, npt.NDArray[Any]]] | None:
    """What `_write` was given; None if it is damaged, or gone: what it held is computed again."""
    try:
        with safe_open(file, framework="numpy") as opened:
            about = opened.metadata()
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        told: list[str] = json.loads(about["told"])
        return (told, arrays) if about["digest"] == _digest(told, arrays) else None
    except _BROKEN:
        return None


def _digest(told: Sequence[str], arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    named = sorted(arrays.items())
    about = [[name, str(array.dtype), array.shape] for name, array in named]
    return content_digest(
        json.dumps([told, about]).encode(), *(array.tobytes() for _, array in named)
    )


def _keys(part: Mapping[str, npt.NDArray[Any]]) -> list[bytes]:
    return [name.tobytes() for name in part["keys"]]
