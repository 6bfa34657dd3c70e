"""YAML that people hand to a verb, read so that no text can hang, crash or fool the reader.

Aliases are expanded by whoever walks the values, so that a few lines can stand for billions of
them; and of two settings of one name YAML readers keep the last without a word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader

from airrep.console.wording import shortened
from airrep.disk.paths import user_path
from airrep.errors import FileFormatError, MissingInputError

DEEPEST, MOST_VALUES = 64, 100_000  # the latter by aliases, beside what is written out
_LARGEST = 256 << 20  # bytes of a file
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml_file(path: str | Path) -> Any:  # noqa: ANN401 (whatever YAML holds)
    """What a YAML or JSON file holds.

    Raises:
        MissingInputError: There is no such file, or it cannot be read.
        FileFormatError: It is too large, or no YAML (see `read_yaml`).
    """
    text = config_text(path)
    try:
        return read_yaml(text)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from error


def config_text(path: str | Path) -> str:
    """The text of a file that holds a config.

    Raises:
        MissingInputError: There is no such file, or it cannot be read.
        FileFormatError: It is no file (but a pipe, say), too large, or not UTF-8.
    """
    file = user_path(path, "config")
    try:
        if file.exists() and not (file.is_file() or file.is_dir()):
            raise FileFormatError(f"{file}: a pipe or a device, not a file with a config.")
        if file.stat().st_size > _LARGEST:
            raise FileFormatError(f"{file}: larger than {_LARGEST >> 20} MiB; no config is.")
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{file}: not YAML ({error}).") from error
    except (OSError, ValueError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise MissingInputError(
            f"{shortened(file, 200)}: no such config can be read ({shortened(error, 200)})."
        ) from error


def read_yaml(text: str) -> Any:  # noqa: ANN401
    """What YAML (or JSON) says, in plain values; 2e-5 is a number.

    Raises:
        FileFormatError: It is no YAML, or holds tags of Python objects, a setting twice, values
            that hold themselves, or too much.
    """
    try:
        _check(text)
        return get_loader("yaml")(text)
    except FileFormatError:
        raise
    except RecursionError:
        raise FileFormatError("not YAML (nested too deeply).") from None
    except Exception as error:  # its constructors raise many kinds: !!int '', !!bool 5
        reason = shortened(error, 300)
        raise FileFormatError(f"not YAML ({reason}).") from error


def _check(text: str) -> None:
    """Count what the text stands for, event by event, before any of it is built."""
    sizes: dict[str, int] = {}  # of what an anchor names, its aliases expanded
    open_: list[_Open] = [_Open(None, is_mapping=False)]
    for written, event in enumerate(yaml.parse(text, Loader=_Loader)):
        _check_extent(open_, written, event)
        if isinstance(event, yaml.AliasEvent):
            open_[-1].add(_named(event, sizes), None, event)
        elif isinstance(event, yaml.ScalarEvent):
            if event.anchor:
                sizes[event.anchor] = 1
            open_[-1].add(1, event.value, event)
        elif isinstance(event, yaml.CollectionStartEvent):
            sizes.pop(event.anchor, None)
            open_.append(_Open(event.anchor, isinstance(event, yaml.MappingStartEvent)))
        elif isinstance(event, yaml.CollectionEndEvent):
            done = open_.pop()
            if done.anchor:
                sizes[done.anchor] = done.size
            open_[-1].add(done.size, None, event)


def _check_extent(open_: list[_Open], written: int, event: yaml.Event) -> None:
    line = event.start_mark.line + 1
    if open_[-1].size > written + MOST_VALUES:
        raise FileFormatError(
            f"line {line}: the aliases before stand for more than {MOST_VALUES:,} values."
        )
    if len(open_) > DEEPEST:
        raise FileFormatError(f"line {line}: nested deeper than {DEEPEST} levels.")


def _named(event: yaml.AliasEvent, sizes: dict[str, int]) -> int:
    """The size of what an alias stands for."""
    if event.anchor not in sizes:
        raise FileFormatError(
            f"not YAML (line {event.start_mark.line + 1}: *{event.anchor} stands for nothing, or "
            "for something that holds itself)."
        )
    return sizes[event.anchor]


class _Open:
    """A list or mapping whose end is yet to come."""

    def __init__(self, anchor: str | None, is_mapping: bool) -> None:
        self.anchor, self.size = anchor, 1
        self._is_mapping = is_mapping
        self._members = 0
        self._names: set[str] = set()

    def add(self, size: int, name: str | None, event: yaml.Event) -> None:
        """Count a member; in a mapping, names and values take turns."""
        line = event.start_mark.line + 1
        self.size += size
        if self._is_mapping and self._members % 2 == 0 and name is not None and name != "<<":
            if name in self._names:
                raise FileFormatError(f"line {line}: the setting {name!r} stands there twice.")
            self._names.add(name)
        self._members += 1
