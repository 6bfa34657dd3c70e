"""A trial's results on disk: a sealed file with a row for every arm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airrep.disk.sealed import check_format, read_sealed
from airrep.errors import FileFormatError

FORMAT = 2  # 1 was the list of rows, without a digest
_MEND = "delete it, and the same command runs this trial again"


def read_trial(file: Path) -> list[dict[str, Any]]:
    """Its rows.

    Raises:
        FileFormatError: The file is damaged, or of a later version.
    """
    try:
        text = file.read_text("utf-8")
        content: Any = {"format": 1, "rows": json.loads(text)}
        if not isinstance(content["rows"], list):
            content = read_sealed(file, FileFormatError, _MEND)
        check_format(content["format"], FORMAT, file, FileFormatError)
        rows: list[dict[str, Any]] = content["rows"]
        if not rows or not all(isinstance(row, dict) and "arm" in row for row in rows):
            raise ValueError("no rows of a trial")
    except FileFormatError:
        raise
    except (OSError, ValueError, KeyError, RecursionError) as error:
        raise FileFormatError(f"{file}: damaged ({error!r}); {_MEND}.") from error
    return rows
