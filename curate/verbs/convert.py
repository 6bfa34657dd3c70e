"""The verb `convert`: rows of any format in, rows of one format out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from airrep.console.wording import counted
from airrep.disk.atomic import atomic_file, check_writable
from airrep.disk.paths import not_ours, user_path
from airrep.errors import ArgumentError, OutputError
from airrep.records import with_roles
from curate.rows.io import OnBadRow, SkippedRow, places_of
from curate.stages.destination import check_apart
from curate.stages.inputs import Source, read_input
from curate.writing.file_format import ENDINGS, RowFormat, is_of_trainer
from curate.writing.for_trl import for_trl
from curate.writing.formats import in_format
from curate.writing.row_files import write_objects, write_rows


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        output: The file.
        format: Its rows' format.
        rows: How many rows it has.
        skipped: Rows that could not be read, with `on_bad_row="skip"`.
    """

    output: Path
    format: RowFormat
    rows: int
    skipped: list[SkippedRow] = field(repr=False)

    def __str__(self) -> str:
        """One line."""
        skipped = f"; skipped {len(self.skipped):,}" if self.skipped else ""
        return f"wrote {counted(self.rows, 'row')} to {self.output} as {self.format}{skipped}"


def convert(
    rows: Source,
    to: RowFormat,
    output: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    on_bad_row: OnBadRow = "error",
    overwrite: bool = False,
) -> Conversion:
    """Write rows of any format in the format that a trainer reads.

    What a format has no field for is an error that names the row, and nothing is written.

    Args:
        rows: Rows to convert; anything that `select` takes.
        to: Format of the written rows: trl, openai, sharegpt or alpaca (docs/rows.md).
        output: File to write, .jsonl or .parquet.
        columns: Which field is what, where that is not obvious; see `select`.
        roles: Names of speakers in conversations to what they are; see `select`.
        on_bad_row: What to do with a row that cannot be read: error, or skip (and count it).
        overwrite: Replace a file that is there, other than one of the rows' own.

    Returns:
        The file, and how many rows it has; as text, one line.

    Raises:
        CurateError: One of its kinds (see `airrep.errors`), with what to do about it.

    Example:
        >>> import curate
        >>> print(curate.convert(curate.demo_pool(60), "openai", "rows.jsonl"))
        wrote 60 rows to rows.jsonl as openai
    """
    if to not in get_args(RowFormat):
        raise ArgumentError(f"to {to!r} is unknown; choose {', '.join(get_args(RowFormat))}.")
    file = user_path(output, "output")
    ending = next((each for each in ENDINGS if file.suffix == f".{each}"), None)
    if ending is None:
        raise ArgumentError(f"output: expected a file named *.jsonl or *.parquet, found {output}.")
    _check_output(file, rows, overwrite=overwrite)
    read = read_input(rows, "rows", with_roles(columns, roles), on_bad_row)
    if to == "trl":
        read.check_layout("file")
    with atomic_file(file) as temporary:
        if is_of_trainer(to):
            made = in_format(read.rows, read.examples, to)
            write_objects(made, temporary, ending, "the rows written")
        else:
            usable = read.rows.dataset.select(read.examples.rows)
            write_rows(for_trl(usable, with_roles(columns, roles)), temporary, ending)
    return Conversion(file, to, len(read.examples), read.skipped)


def _check_output(file: Path, rows: object, *, overwrite: bool) -> None:
    """Refuse a file that is there, unless it may be replaced; one of the rows' own never may.

    Raises:
        ArgumentError: It is one of the rows' own.
        OutputError: It is there, or cannot be written.
    """
    check_apart(file, {})  # a null character
    written = Path(os.path.realpath(file))
    for each in places_of(rows):
        if written.is_relative_to(os.path.realpath(each)):
            raise ArgumentError(
                f"output: {file} is one of the files that the rows are read from, or lies among "
                "them. Name another file."
            )
    if os.path.lexists(file):
        if not file.is_file():
            raise not_ours(file)
        if not overwrite:
            raise OutputError(
                f"{file}: already there. Choose another name, or replace it: overwrite=True "
                "(--overwrite)."
            )
    check_writable(file.parent)
