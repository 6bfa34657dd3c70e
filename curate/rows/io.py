"""Whatever the user has to rows: files, datasets, data frames, Arrow tables, lists, mixtures."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetDict, IterableDatasetDict

from airrep.console.wording import shown
from airrep.disk.paths import user_path
from airrep.errors import ArgumentError
from airrep.machine.processes import processes
from curate.rows.bad_rows import STANDARD_INPUT, OnBadRow, SkippedRow, Unreadable
from curate.rows.collection import Rows, as_dataset
from curate.rows.columns import array_of
from curate.rows.files import read_standard_input
from curate.rows.memory import from_memory
from curate.rows.names import files_of, from_name, from_names, name_files
from curate.rows.unified import unified

__all__ = ["OnBadRow", "Rows", "SkippedRow", "places_of", "read_rows", "rows_from_standard_input"]

_SOURCES = ("source", "dataset", "task")  # fields in which a row may say where it comes from


def read_rows(given: Any, name: str, on_bad_row: OnBadRow = "error") -> Rows:  # noqa: ANN401
    """Read rows from whatever the user has.

    Args:
        given: See `curate.stages.inputs.Source`.
        name: What the rows are called in messages, if they have no name of their own.
        on_bad_row: With "skip" a row that cannot be read is kept as an empty one, and known
            (`Rows.unreadable`), where it is an error otherwise.

    Raises:
        CurateError: Nothing that holds rows, nothing in it, or a row that cannot be read.
    """
    if isinstance(given, Rows):
        rows = given
    elif isinstance(given, str | Path):
        rows = from_name(given, name, on_bad_row)
    elif isinstance(given, list | tuple) and name_files(given):
        rows = from_names(given, name, on_bad_row)
    elif isinstance(given, Mapping) and not isinstance(given, DatasetDict | IterableDatasetDict):
        rows = _from_mixture(given, name, on_bad_row)
    else:
        rows = from_memory(given, name, on_bad_row)
    if len(rows.dataset) == 0:
        raise ArgumentError(f"{name}: {rows.name} holds no rows.")
    return rows


def rows_from_standard_input(on_bad_row: OnBadRow = "error") -> Rows:
    """Read JSON from standard input, which can be read once; `read_rows` takes the result.

    Raises:
        ArgumentError: There are several processes, of which only one would find the rows.
        FileFormatError: A line is not a JSON object.
    """
    if processes() > 1:
        raise ArgumentError("several processes cannot share standard input; name a file of rows.")
    table, bad = read_standard_input(on_bad_row)
    return Rows(as_dataset(table, STANDARD_INPUT), STANDARD_INPUT, unreadable=bad.found)


def places_of(given: object) -> list[Path]:
    """The files and directories that `read_rows` would read; none for what is not on this disk.

    Args:
        given: Anything that `read_rows` takes, or that a model can be given as.
    """
    if isinstance(given, Dataset):
        return [Path(mapped["filename"]) for mapped in given.cache_files]
    if isinstance(given, Mapping):
        return [place for part in given.values() for place in places_of(part)]
    if isinstance(given, str | Path):
        given = [Path(given)] if str(given) else []
    paths: list[str | Path] = []
    with suppress(ArgumentError):  # of which the reader will speak, as of the others below
        if isinstance(given, list | tuple) and name_files(given):
            paths = list[str | Path](given)
    found: list[Path] = []
    for path in paths:
        with suppress(OSError, ValueError):
            path = user_path(path, "path")
            found += [path] if path.is_dir() else files_of(path)
    return found


def _from_mixture(given: Mapping[Any, Any], name: str, on_bad_row: OnBadRow) -> Rows:
    """The rows of all parts; those that do not say where they come from say the part's name."""
    tables: list[pa.Table] = []
    files: list[tuple[int, str]] = []
    unreadable: dict[int, Unreadable] = {}
    row = 0
    for key, part in given.items():
        _check_part(key, part, name)
        rows = read_rows(part, f"{name}, part {key!r}", on_bad_row)
        table: pa.Table = rows.dataset.with_format("arrow")[:]
        table = table.replace_schema_metadata(rows.dataset.features.arrow_schema.metadata)
        if not {*_SOURCES} & {*table.column_names}:
            table = table.append_column("source", pa.array([key] * len(table), pa.string()))
        tables.append(table)
        files += [(row + first, file) for first, file in rows.files] or [(row, rows.name)]
        unreadable |= {row + local: found for local, found in rows.unreadable.items()}
        row += len(table)
    if not tables:
        raise ArgumentError(f"{name}: the mixture has no parts.")
    whole = unified(tables, name, array_of)
    return Rows(as_dataset(whole, name), f"{name} of {len(tables)} parts", tuple(files), unreadable)


def _check_part(key: object, part: object, name: str) -> None:
    """Refuse what is no mixture: one row, or columns of values."""
    if not isinstance(key, str):
        raise ArgumentError(f"{name}: a part of a mixture is named {shown(key)}; expected text.")
    columns = False
    if isinstance(part, list | tuple) and not name_files(part):
        columns = len(part) > 0 and not any(isinstance(each, Mapping) for each in part)
    if columns or part is None or isinstance(part, int | float):
        raise ArgumentError(
            f"{name}: found a dict whose {key!r} is {shown(part)}. A dict is a mixture of named "
            'parts, {"name": source, …}; for one row pass a list with it in, for columns '
            "datasets.Dataset.from_dict(…)."
        )
