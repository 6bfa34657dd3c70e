"""Paths that users name, for what is read and what is written."""

from __future__ import annotations

from pathlib import Path

from airrep.errors import OutputError


def not_ours(file: Path) -> OutputError:
    """The error for a file that stands where a result would go, and that no manifest lists."""
    return OutputError(
        f"{file}: already there, and not known to be a result of this library, so it is not "
        "replaced. Move it, or choose another output."
    )
