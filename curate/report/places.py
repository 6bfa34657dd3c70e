"""Manifests without the places of files: a report may be read by others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airrep.console.wording import named

_FILE = re.compile(r"^[^\n]*?(?=, (?:row|line|item) \d)")  # what a reason for a skipped row names


def without_places(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest as it is shown: of absolute paths the last part.

    Args:
        manifest: As plain values. The one on disk keeps what repeating the run needs.
    """
    return {
        **manifest,
        "arguments": {name: _named(value) for name, value in manifest["arguments"].items()},
        "inputs": {name: _input(record) for name, record in manifest["inputs"].items()},
        "encoders": [{**each, "name": named(each["name"])} for each in manifest["encoders"]],
    }


def _input(record: Mapping[str, Any]) -> dict[str, Any]:
    skipped = [
        _FILE.sub(lambda found: named(found[0]), reason) for reason in record.get("skipped", ())
    ]
    return {**record, "name": named(record["name"]), "skipped": skipped}


def _named(value: Any) -> Any:  # noqa: ANN401 (whatever an argument may be)
    return named(value) if isinstance(value, str) else value
