"""What a power cut may leave of a directory, in the worst cases that POSIX allows.

Bytes are on disk once their file was synced, names once their directory was. Of everything else
each piece may be there or not: a file that was not synced is as it was when it was, empty, half
written or whole; a name that was made, renamed or removed is there or is not, whatever happened to
the names beside it. `Disk` watches the calls that matter, in this process, and says after each what
could be left; `write` puts such a state somewhere, for a run to be started on it.
"""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

_CALLS = ("fsync", "replace", "rename", "mkdir", "unlink", "remove", "rmdir")
_SCANDIR = os.scandir

State = dict[str, bytes | None]  # path below the directory to its bytes; None: a directory


@dataclass
class Disk:
    """Files below a directory: as programs see them, and as they are on disk.

    Attributes:
        root: The directory. What is in it when it is first looked at is on disk.
        moment: Called after every call that matters, and before it.
    """

    root: Path
    moment: Callable[[Disk], None] = lambda disk: None
    _names: dict[int, dict[str, int]] = field(default_factory=dict)  # of directories, as seen
    _stored_names: dict[int, dict[str, int]] = field(default_factory=dict)
    _bytes: dict[int, bytes] = field(default_factory=dict)  # of files, as seen
    _stored_bytes: dict[int, bytes] = field(default_factory=dict)
    _numbers: dict[tuple[int, int], int] = field(default_factory=dict)  # of what is seen, by inode
    _known: int = 0
    _busy: bool = False

    def __post_init__(self) -> None:
        self._top = self._see()
        self._stored_names = {number: dict(names) for number, names in self._names.items()}
        self._stored_bytes = dict(self._bytes)

    def watch(self, replace: Callable[[object, str, Any], None] = setattr) -> None:
        """Watch this process from now on; `replace` sets an attribute (a monkeypatch's may)."""
        for name in _CALLS:
            replace(os, name, self._watched(getattr(os, name)))

    def states(self) -> Iterator[State]:
        """What a cut may leave now: the extremes, and each single difference from them."""
        pending = [
            (number, name)
            for number, names in self._names.items()
            for name in {*names, *self._stored_names.get(number, {})}
            if names.get(name) != self._stored_names.get(number, {}).get(name)
        ]
        done = [set(pending), set()]
        done += [{one} for one in pending] + [set(pending) - {one} for one in pending]
        for chosen in done:
            for lost in (0.0, 0.5, 1.0):
                yield self._state(self._top, "", chosen, lost)

    def _state(self, number: int, above: str, done: set[tuple[int, str]], lost: float) -> State:
        found: State = {}
        seen, stored = self._names.get(number, {}), self._stored_names.get(number, {})
        for name in sorted({*seen, *stored}):
            below = (seen if (number, name) in done else stored).get(name)
            if below is None:
                continue
            path = f"{above}{name}"
            if below in self._bytes:
                found[path] = self._content(below, lost)
            else:
                found[path] = None
                found |= self._state(below, f"{path}/", done, lost)
        return found

    def _content(self, number: int, lost: float) -> bytes:
        seen, stored = self._bytes[number], self._stored_bytes.get(number, b"")
        if seen == stored or lost == 0.0:
            return seen
        return stored if lost == 1.0 else seen[: len(seen) // 2]

    def _watched(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            if self._busy:
                return call(*arguments, **options)
            self._look()
            result = call(*arguments, **options)
            if call.__name__ == "fsync":
                self._store(os.fstat(arguments[0]))
            self._look()
            return result

        return watched

    def _look(self) -> None:
        self._busy = True
        self._see()
        self.moment(self)
        self._busy = False

    def _store(self, status: os.stat_result) -> None:
        number = self._numbers.get((status.st_dev, status.st_ino))
        if number is None:  # not below the directory
            return
        if stat.S_ISDIR(status.st_mode):
            self._stored_names[number] = dict(self._names[number])
        else:
            self._stored_bytes[number] = self._bytes[number]

    def _see(self) -> int:
        before, self._numbers = self._numbers, {}
        return self._visit(self.root, before)

    def _visit(self, path: Path, before: dict[tuple[int, int], int]) -> int:
        status = path.stat()
        inode = (status.st_dev, status.st_ino)
        number = before.get(inode)
        if number is None:  # also where a number of the system is used again
            number = self._known
            self._known += 1
        self._numbers[inode] = number
        with _SCANDIR(path) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        names = self._names[number] = {}
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                names[entry.name] = self._visit(Path(entry.path), before)
                continue
            status = entry.stat(follow_symlinks=False)
            inode = (status.st_dev, status.st_ino)
            below = before.get(inode)
            if below is None:
                below = self._known
                self._known += 1
            self._numbers[inode] = names[entry.name] = below
            self._bytes[below] = Path(entry.path).read_bytes()
        return number


def cut_at(
    operation: int, below: Path, left: Path, chance: np.random.Generator
) -> Callable[[], None]:
    """Let a child write what a cut may leave to `left` and die, at the n-th call that matters.

    Or when it has ended, if it makes fewer.
    """
    seen = 0

    def leave(disk: Disk) -> None:
        states = list(disk.states())
        write(states[int(chance.integers(len(states)))], left)

    def moment(disk: Disk) -> None:
        nonlocal seen
        seen += 1
        if seen == operation:
            leave(disk)
            os.kill(os.getpid(), signal.SIGKILL)

    def prepare() -> None:
        disk, end = Disk(below, moment), os._exit

        def ended(status: int) -> None:
            disk.moment = lambda disk: None
            leave(disk)
            end(status)

        disk.watch()
        os._exit = ended

    return prepare


def write(state: State, place: Path) -> None:
    """Make a directory that holds the state."""
    place.mkdir(parents=True)
    for path, content in state.items():
        if content is None:
            (place / path).mkdir()
        else:
            (place / path).write_bytes(content)


def digest(state: State) -> str:
    """Equal for equal states."""
    found = blake2b(digest_size=16)
    for path, content in sorted(state.items()):
        found.update(f"{path}\0{'d' if content is None else len(content)}\0".encode())
        found.update(content or b"")
    return found.hexdigest()
