"""The verb `report`: what was chosen and why, as one HTML file."""

from __future__ import annotations

from pathlib import Path

from airrep.disk.paths import user_path
from curate.report.kept.file import read_insight
from curate.report.page import write_report


def report(directory: str | Path, output: str | Path | None = None) -> Path:
    """Show what was chosen and why: one HTML file.

    Args:
        directory: That `curate select --output` wrote.
        output: HTML file to write; default report.html in that directory. A report that is there is
            replaced, any other file never.

    Returns:
        The file.

    Raises:
        MissingInputError: The directory holds no selection, or one without what a report needs.
        FileFormatError: What it holds is damaged.
        OutputError: The file cannot be written to, or something else stands there.
    """
    insight = read_insight(directory)
    if output is None:
        output = user_path(directory, "directory") / "report.html"
    return write_report(insight, output)
