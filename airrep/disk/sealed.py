"""JSON files that say whether they are still what was written, and which version can read them.

A sealed file has one more key, `digest`, of everything else in it. The rule for versions, here and
in every other file that the library writes and reads: a file names its format by a number; a reader
ignores keys that it does not know, reads every number up to its own, and refuses a larger one; a
file without a digest is of a version before there were any, and is read as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airrep.disk.atomic import write_json
from airrep.disk.digests import content_digest
from airrep.errors import CurateError

_KEY = "digest"


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON with its digest, whole or not at all.

    Raises:
        OutputError: The place cannot be written to.
    """
    plain = json.loads(json.dumps(dict(content)))  # as it will be read
    write_json(path, {**plain, _KEY: _digest(plain)})


def read_sealed(path: Path, error: type[CurateError], mend: str) -> dict[str, Any]:
    """What was written, without its digest.

    Args:
        path: The file.
        error: What to raise where it is damaged.
        mend: What to do about that, for the message.

    Raises:
        CurateError: It cannot be read, or is not what was written.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict):
            raise ValueError("no JSON object")
        digest = content.pop(_KEY, None)
        if digest is not None and digest != _digest(content):
            raise ValueError("its content is not what was written")
    except (OSError, ValueError, RecursionError) as found:
        raise error(f"{path}: damaged ({found}); {mend}.") from found
    return content


def check_format(found: object, newest: int, path: Path, error: type[CurateError]) -> None:
    """Refuse a file of a later version.

    Raises:
        CurateError: As `error`; the number is larger than the newest that this version reads.
        ValueError: It is no format's number at all.
    """
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ValueError(f"{found!r} is no format number")
    if found > newest:
        raise error(
            f"{path}: format {found} is of a later version of airrep-curate; this one reads "
            f"formats up to {newest}. Use the version that wrote it, or another directory."
        )


def _digest(content: dict[str, Any]) -> str:
    return content_digest(json.dumps(content, sort_keys=True).encode())
