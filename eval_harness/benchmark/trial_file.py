"""A trial's results on disk: a sealed file with a row for every arm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airrep.disk.sealed import read_sealed, reading
from airrep.errors import FileFormatError

FORMAT = 2  # 1 was the list of rows, without a digest
_REMEDY = "delete it, and the same command runs this trial again"


def read_trial(file: Path) -> list[dict[str, Any]]:
    """Its rows.

    Raises:
        FileFormatError: The file is damaged, or of a later version.
    """
    with reading(file, _REMEDY, FileFormatError):
        rows: Any = json.loads(file.read_text("utf-8"))
        if not isinstance(rows, list):
            rows = read_sealed(file, _REMEDY, newest=FORMAT)["rows"]
        if not rows or not all(isinstance(row, dict) and "arm" in row for row in rows):
            raise ValueError("no rows of a trial")
    found: list[dict[str, Any]] = rows
    return found
