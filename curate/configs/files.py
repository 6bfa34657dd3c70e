"""A verb's config: a YAML file, or its content, as a mapping whose paths can be opened."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airrep.disk.paths import user_path
from airrep.errors import FileFormatError
from curate.configs.yaml_text import read_yaml_file
from eval_harness.files.settings import map_settings


def load_config(
    config: str | Path | Mapping[str, Any], paths: Sequence[str], names: Sequence[str] = ()
) -> dict[str, Any]:
    """The settings, with paths of a file made absolute.

    Args:
        config: YAML file; or its content, whose paths stay as they are.
        paths: Settings that can be paths, relative to the file: "pool", "encoder.backbone",
            "methods.*.encoder".
        names: Values that are never paths.

    Raises:
        MissingInputError: There is no such file.
        FileFormatError: It does not hold settings as YAML.
    """
    if isinstance(config, Mapping):
        return dict(config)
    file = user_path(config, "config")
    values = read_yaml_file(file)
    if not isinstance(values, dict):
        raise FileFormatError(f"{file}: expected settings, found {type(values).__name__}.")
    return map_settings(
        values, paths, lambda value: value if value in names else _from(file.parent, value)
    )


def _from(base: Path, value: Any) -> Any:  # noqa: ANN401 (whatever YAML holds)
    """A path or glob that finds something, seen from `base`, made absolute; else as it is."""
    if not isinstance(value, str):
        return value
    try:
        path = base / user_path(value, "config")
        found = path.exists() or glob.glob(str(path), recursive=True)  # noqa: PTH207 (any root)
        return str(path.resolve()) if found else value
    except (OSError, ValueError):  # no name that a file can have; the reader will speak of it
        return value
