"""The verbs on a saved selection: `report` and `explain`."""

from __future__ import annotations

from pathlib import Path

from airrep.disk.paths import user_path
from curate.report.explain import explain as explain_insight
from curate.report.explanation import Explanation
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


def explain(directory: str | Path, name: str | int, *, target: bool = False) -> Explanation:
    """Say why a pool row is in or not, or which rows help a target most and least.

    Args:
        directory: That `curate select --output` wrote.
        name: Id of a pool row, or of a target; positions from 0 unless columns named an id.
        target: The id is a target's.

    Returns:
        The explanation; as text, what there is to say.

    Raises:
        MissingInputError: The directory holds no selection, or one without what this needs.
        FileFormatError: What it holds is damaged.
        ArgumentError: No row has this id, or no target.
    """
    return explain_insight(read_insight(directory), name, target=target)
