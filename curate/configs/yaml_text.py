"""YAML that people hand to a verb, read so that no text can hang, crash or fool the reader."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import yaml
from yaml.composer import Composer

from airrep.console.wording import shortened
from airrep.disk.paths import user_path
from airrep.errors import FileFormatError, MissingInputError

DEEPEST = 64  # lists and mappings inside each other
_LARGEST = 256 << 20  # bytes of a file
_TAG = "tag:yaml.org,2002:"
_PLAIN = [_TAG + kind for kind in ("null", "bool", "int", "float", "str", "seq", "map")]
_EXPONENT = re.compile(r"[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9][0-9_]*)[eE][-+]?[0-9]+$")
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the latter where PyYAML has no libyaml


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
        error.at(path)
        raise


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
        FileFormatError: It is no YAML, or holds an alias, a tag of anything but plain values, a
            setting twice, or too many levels.
    """
    try:
        return yaml.load(text, _Loader)  # a safe one, made stricter
    except FileFormatError:
        raise
    except Exception as error:  # its constructors raise many kinds: !!int '', !!bool 5
        raise FileFormatError(f"not YAML ({shortened(error, 300)}).") from error


class _Strict(Composer):
    """The checks that stand before those of PyYAML.

    Aliases let a few lines stand for billions of values, and PyYAML keeps the last of two settings
    of one name without a word.
    """

    def __init__(self, text: str) -> None:
        _Base.__init__(self, text)
        self.anchors: dict[str, yaml.Node] = {}
        self._depth = 0

    def compose_node(self, parent: yaml.Node, index: object) -> yaml.Node:
        event = self.peek_event()
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise FileFormatError(
                f"line {line}: *{event.anchor} is an alias; write out what it stands for."
            )
        if self._depth == DEEPEST:
            raise FileFormatError(f"line {line}: nested deeper than {DEEPEST} levels.")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names: set[object] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            name = self.construct_object(key)
            if name in names:
                line = key.start_mark.line + 1
                raise FileFormatError(f"line {line}: the setting {name!r} stands there twice.")
            names.add(name)
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


class _Loader(_Strict, _Base):
    """Plain values only; a date stays a text."""

    yaml_constructors: ClassVar = {tag: _Base.yaml_constructors[tag] for tag in (*_PLAIN, None)}
    yaml_implicit_resolvers: ClassVar = {
        first: [each for each in known if each[0] in _PLAIN]
        for first, known in _Base.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(_TAG + "float", _EXPONENT, list("-+.0123456789"))
