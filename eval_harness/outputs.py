"""What every command with an output directory does: bind the directory, write tables and text."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from airrep.atomic import atomic_file, write_json
from airrep.errors import OutputError


def claim(file: Path, mine: dict[str, Any], what: str) -> None:
    """Bind a directory to what determines its results, of which `file` is the record.

    Args:
        file: In the directory; written if it is not there.
        mine: What determines them.
        what: What the directory holds ("benchmark"), for the message.

    Raises:
        OutputError: The directory is bound to something else.
    """
    if not file.exists():
        write_json(file, mine)
        return
    known = json.loads(file.read_text("utf-8"))
    changed = sorted(key for key in mine if mine[key] != known.get(key))
    if changed:
        raise OutputError(
            f"{file.parent}: holds another {what} ({file.name}: {', '.join(changed)} differ); "
            "use another directory, or delete this one."
        )


def write_table(table: pd.DataFrame, file: Path) -> None:
    """Write Parquet, whole or not at all."""
    with atomic_file(file) as temporary:
        table.to_parquet(temporary, index=False)


def write_text(text: str, file: Path) -> None:
    """Write UTF-8, whole or not at all."""
    with atomic_file(file) as temporary:
        temporary.write_text(text, "utf-8")


def can_draw() -> bool:
    """Whether matplotlib is there (the extra `plots`)."""
    return find_spec("matplotlib") is not None
