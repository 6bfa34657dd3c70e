"""Options from a config file or from the manifest of an earlier run, beside the command line."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from cyclopts import Token
from cyclopts.exceptions import UnknownOptionError

from airrep.errors import ArgumentError, FileFormatError
from curate.configs.yaml_text import read_yaml_file
from curate.manifest.check import check_manifest
from curate.rows.streams import STANDARD_INPUT

if TYPE_CHECKING:
    from cyclopts import App, ArgumentCollection


class ConfigFile:
    """The file that --config names, which gives what the command line leaves open.

    Attributes:
        manifest: The file's content, if it is a manifest.
    """

    def __init__(self) -> None:
        self.manifest: dict[str, Any] | None = None

    def __call__(self, _: App, verbs: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Add values to the options, as cyclopts asks for it.

        Raises:
            CurateError: The file cannot be read, or does not fit the verb.
            UnknownOptionError: It holds an option that the verb does not have.
        """
        option = arguments.get("--config", None)
        if option is None:
            return
        file = option.tokens[0].value if option.tokens else os.getenv("CURATE_CONFIG")
        if file is None:
            return
        for name, value in self._options(file, verbs[-1], arguments).items():
            given = arguments.get(f"--{name}", None)
            if given is None:
                unknown = Token(keyword=f"--{name}", source=file)
                raise UnknownOptionError(token=unknown, argument_collection=arguments)
            keys, where = {token.keys[:1] for token in given.tokens}, f"{name} in {file}"
            if not keys:
                given.append(Token(keyword=where, value=_text(value), source=file))
            elif () not in keys and isinstance(value, dict):  # --columns.prompt beside columns
                for key in (key for key in value if (key,) not in keys):
                    below = Token(keyword=where, value=_text(value[key]), keys=(key,), source=file)
                    given.append(below)

    def _options(self, file: str, verb: str, arguments: ArgumentCollection) -> dict[str, Any]:
        content = read_yaml_file(file)
        if not isinstance(content, dict):
            raise FileFormatError(f"{file}: expected options and their values (name: value).")
        if "manifest_version" not in content:
            return content
        check_manifest(content, file)
        if content["verb"] != verb:
            by = f"curate {content['verb']} --config …"
            raise ArgumentError(f"{file}: this manifest is repeated by {by}")
        for name, record in content["inputs"].items():
            if record["name"] == STANDARD_INPUT and not arguments.get(f"--{name}").tokens:
                raise ArgumentError(
                    f"{file}: the {name} came from standard input, which cannot be read again; "
                    f"name a file of the same rows by --{name}, or pipe them in by --{name} -."
                )
        self.manifest = content
        return content["arguments"]


def _text(value: object) -> str:
    """A value as it would be typed."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except TypeError:  # a mapping with keys that are no text
        return str(value)
    return value if isinstance(value, str) else text
