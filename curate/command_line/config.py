"""Options from a config file or from the manifest of an earlier run, beside the command line."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from cyclopts import Token
from cyclopts.exceptions import UnknownOptionError

from airrep.errors import ArgumentError, FileFormatError
from curate.configs.yaml_text import read_yaml_file
from curate.rows.bad_rows import STANDARD_INPUT

if TYPE_CHECKING:
    from cyclopts import App, ArgumentCollection


_VARIABLE = "CURATE_CONFIG"


class ConfigFile:
    """The files that --config names, which give what the command line leaves open.

    Attributes:
        manifest: Content of a file that is a manifest.
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
        files = [token.value for token in option.tokens] or filter(None, [os.getenv(_VARIABLE)])
        for file in reversed(list(files)):
            self._add(file, verbs[-1], arguments)

    def _add(self, file: str, verb: str, arguments: ArgumentCollection) -> None:
        for name, value in self._options(file, verb, arguments).items():
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
        from curate.manifest.check import check_manifest  # here, because it brings numpy

        check_manifest(content, file)
        if content["verb"] != verb:
            by = f"curate {content['verb']} --config …"
            raise ArgumentError(f"{file}: this manifest is repeated by {by}")
        for name, record in content["inputs"].items():
            given = arguments.get(f"--{name}", None)
            named = given is None or given.tokens or name in content["arguments"]
            if record["name"] == STANDARD_INPUT and not named:
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
