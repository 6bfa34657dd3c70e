"""JSON files that say whether they are still what was written, and which version can read them.

A sealed file has one more key, `digest`, of everything else in it. The rule for versions, here and
in every other file that the library writes and reads: a file names its format by a number; a reader
ignores keys that it does not know, reads every number up to its own, and refuses a larger one; a
file without a digest is of a version before there were any, and is read as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airrep.disk.atomic import write_json
from airrep.disk.digests import content_digest
from airrep.errors import ArgumentError, CurateError, FileFormatError

_KEY = "digest"
_LONGEST = 300  # characters of another library's message
ALTERED = "its content is not what was written"


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON with its digest, whole or not at all.

    Raises:
        OutputError: The place cannot be written to.
    """
    plain = json.loads(json.dumps(dict(content)))  # as it will be read
    write_json(path, {**plain, _KEY: _digest(plain)})


def read_sealed(
    path: Path,
    remedy: str | None = None,
    *,
    error: type[CurateError] = FileFormatError,
    newest: int | None = None,
) -> dict[str, Any]:
    """What was written, without its digest.

    Args:
        path: The file.
        remedy: What to do if it is damaged, for the message.
        error: Class of the error where it is damaged.
        newest: The largest `format` that is read; None if the file names none.

    Raises:
        CurateError: As `error`; it cannot be read, is not what was written, or is of a later
            version.
    """
    with reading(path, remedy, error):
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict):
            raise ValueError("no JSON object")
        digest = content.pop(_KEY, None)
        if digest is not None and digest != _digest(content):
            raise ValueError(ALTERED)
        if newest is not None:
            check_format(content.get("format", newest), newest, path, error)
    return content


@contextmanager
def reading(
    path: object, remedy: str | None, error: type[CurateError], problem: str = "damaged"
) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read and taken apart into one error.

    Args:
        path: The file.
        remedy: What to do about it, for the message.
        error: Class of the error.
        problem: What is wrong then; the message adds why.

    Raises:
        CurateError: As `error`. Other errors of this family pass; one without a remedy gets this
            one. An ArgumentError does not pass, because the file's content is what it is about.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as found:  # files that were cut or altered raise many kinds
        if isinstance(found, CurateError) and not isinstance(found, ArgumentError):
            found.remedy = found.remedy or remedy
            raise
        plain = isinstance(found, OSError | ValueError)  # their texts are meant for people
        text = str(found).removesuffix(".") if plain else repr(found)
        reason = " ".join(text.split())[:_LONGEST]
        raise error(f"{problem} ({reason})", where=path, remedy=remedy) from found


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
            f"format {found} is of a later version of airrep-curate; this one reads formats up to "
            f"{newest}",
            where=path,
            remedy="Use the version that wrote it, or another directory",
        )


def _digest(content: dict[str, Any]) -> str:
    return content_digest(json.dumps(content, sort_keys=True).encode())
