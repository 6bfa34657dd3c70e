"""The last line of a report: which selection it shows, and a digest of the page before it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airrep.disk.digests import content_digest
from curate.manifest.provenance import identity

_LINE = "\n<!-- airrep-curate: a report of selection {}; digest {} -->\n"
_SEAL = re.compile(_LINE.format("([0-9a-f]{32})", "([0-9a-f]{32})").encode() + rb"\Z")
_LENGTH = len(_LINE.format("0" * 32, "0" * 32))


@dataclass(frozen=True)
class Seal:
    """What a report says of itself.

    Attributes:
        selection: Identity of the selection that it shows (`curate.manifest.provenance.identity`).
        intact: Whether the page is what was written.
    """

    selection: str
    intact: bool


def sealed(page: str, selection: str) -> str:
    """The page with its last line."""
    return page + _LINE.format(selection, content_digest(page.encode("utf-8")))


def read_seal(file: Path) -> Seal | None:
    """The seal of a file; None if it is no report of ours.

    Raises:
        OSError: The file cannot be read.
    """
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _LENGTH))
        found = _SEAL.search(stream.read())
        if found is None:
            return None
        stream.seek(0)
        page = stream.read(size - _LENGTH)
    selection, digest = (part.decode() for part in found.groups())
    return Seal(selection, content_digest(page) == digest)


def reports(directory: Path) -> dict[Path, Seal]:
    """The reports of ours that lie in a directory."""
    found = {}
    for file in sorted(directory.glob("*.html")):
        with suppress(OSError):  # a directory of that name, or a file that is closed to us
            seal = read_seal(file)
            if seal is not None:
                found[file] = seal
    return found


def reports_of_another(directory: Path, manifest: Mapping[str, Any]) -> list[Path]:
    """Those, as they were written, that show another selection than the manifest's."""
    mine = identity(manifest)
    found = reports(directory).items()
    return [file for file, seal in found if seal.intact and seal.selection != mine]
