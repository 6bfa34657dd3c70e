"""Validation of a manifest: it is a file that people keep, edit and pass on."""

from __future__ import annotations

import json

from airrep.console.wording import shown
from airrep.disk.sealed import reading
from airrep.errors import FileFormatError
from curate.manifest.provenance import MANIFEST_VERSION


def check_manifest(found: object, where: object) -> None:
    """Refuse what no run wrote.

    Args:
        found: What a JSON file holds. A manifest of version 1 is given the verb that it lacks.
        where: The file, for messages.

    Raises:
        FileFormatError: It is no manifest, or one of a newer version; says what is wrong with it.
    """
    from airrep.schema import converted  # here, because `curate --help` needs no msgspec
    from curate.manifest.layout import ManifestLayout

    with reading(where, None, FileFormatError, "not the manifest of a selection"):
        # refuses halves of surrogate pairs, and what only YAML holds
        json.dumps(found, ensure_ascii=False).encode("utf-8")
        number = found.get("manifest_version") if isinstance(found, dict) else None
        if isinstance(number, int) and number > MANIFEST_VERSION:
            raise ValueError(
                f"manifest_version {shown(number)} is newer than what this version of "
                f"airrep-curate reads ({MANIFEST_VERSION}); update it"
            )
        found.setdefault("verb", converted(found, ManifestLayout).verb)  # type: ignore[attr-defined]
