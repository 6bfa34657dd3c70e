"""The chosen rows as a table: the user's own columns, and those that say why each row is in."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetInfo
from datasets.table import InMemoryTable

from airrep.disk.sealed import reading
from airrep.errors import ArgumentError, FileFormatError, MissingInputError
from curate.manifest.provenance import MANIFEST_FILE
from curate.report import Insight
from curate.rows.bad_rows import SkippedRow
from curate.rows.collection import as_dataset
from curate.rows.files import read_file
from curate.stages.destination import SKIPPED
from curate.writing.file_format import ENDINGS

COLUMN_PREFIX = "curate_"
_REASONS = ("rank", "row", "target", "score", "gain", "objective", "layer")
ADDED = tuple(COLUMN_PREFIX + reason for reason in _REASONS)
_EVERY_SELECTIONS = {*ADDED} - {"curate_objective"}  # which earlier versions did not add


def check_columns(names: Collection[str], where: str) -> None:
    """Refuse rows with a column of one's own that is named like one which a selection adds.

    Args:
        names: Names of the columns. If all that a selection adds are there, an earlier selection's
            are meant, which are replaced.
        where: What the rows are called.

    Raises:
        ArgumentError: There are some of these columns, and not all.
    """
    found = [name for name in names if name in ADDED]
    if found and not {*found} >= _EVERY_SELECTIONS:
        raise ArgumentError(
            f"{where}: the rows have the column {found[0]!r}, which a selection adds "
            f"({', '.join(ADDED)}); yours would be lost. Rename it."
        )


def without_reasons(rows: Dataset) -> Dataset:
    """The rows without the columns that a selection adds."""
    return rows.remove_columns([name for name in rows.column_names if name in ADDED])


def with_reasons(rows: Dataset, insight: Insight) -> Dataset:
    """The chosen rows as a table of their own, with the columns that say why each is in."""
    chosen = insight.selection
    positions = insight.rows[chosen.indices].tolist()
    table = rows.select(positions).with_format("arrow")[:]
    own = without_reasons(Dataset(InMemoryTable(table), info=DatasetInfo(features=rows.features)))
    reasons = (
        list(range(len(chosen))),
        positions,
        [insight.targets[x].id for x in chosen.targets.tolist()],
        chosen.scores.tolist(),
        None if chosen.objective is None else chosen.gains.tolist(),
        None if chosen.objective is None else chosen.objective.values.tolist(),
        chosen.layers.tolist(),
    )
    for name, values in zip(ADDED, reasons, strict=True):
        column: Any = pa.nulls(len(chosen), pa.float64()) if values is None else values
        own = own.add_column(name, column)
    return own


def read_selected(directory: Path, insight: Insight) -> Dataset:
    """The rows that `TrainingSet.save` wrote.

    Raises:
        MissingInputError: The file is missing.
        FileFormatError: It is damaged, or holds the rows of another selection.
    """
    files = [directory / f"selection.{ending}" for ending in ENDINGS]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise MissingInputError(f"{directory}: there is no {files[0].name} or {files[1].name}.")
    try:
        rows = as_dataset(read_file(file), str(file))
        same = rows.data[ADDED[1]].to_pylist() == insight.rows[insight.selection.indices].tolist()
    except (OSError, LookupError, pa.ArrowException) as error:
        raise FileFormatError(f"{file} is damaged ({error!r}); select again.") from error
    if not same:
        raise FileFormatError(
            f"{file} holds other rows than {directory / MANIFEST_FILE} names; select again."
        )
    return rows


def read_skipped(directory: Path) -> list[SkippedRow]:
    """The rows that could not be read, as `TrainingSet.save` listed them.

    Raises:
        FileFormatError: The list is damaged.
    """
    file = directory / SKIPPED
    if not file.is_file():
        return []
    with reading(file, "Select again", FileFormatError, "damaged"):
        return [SkippedRow(**json.loads(line)) for line in file.read_text("utf-8").splitlines()]
