"""The verb `export`: recorded runs in the files that the code of AirRep's authors reads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from airrep.console.wording import counted
from airrep.disk.atomic import check_writable
from airrep.disk.paths import user_path
from airrep.errors import ArgumentError, OutputError
from airrep.records import with_roles
from curate.rows.io import OnBadRow
from curate.stages.destination import check_apart
from curate.stages.inputs import Source
from curate.stages.runs_and_rows import read_runs
from eval_harness.runs.airrep_files import FILES, write_test_layout, write_training_layout

RunLayout = Literal["test", "training"]


@dataclass(frozen=True)
class ExportedRuns:
    """What was written.

    Attributes:
        output: The directory.
        layout: "test" or "training".
        subsets: How many subsets.
        pool: How many rows the subsets are of.
        evaluation: How many rows were measured.
    """

    output: Path
    layout: RunLayout
    subsets: int
    pool: int
    evaluation: int

    def __str__(self) -> str:
        """One line."""
        return (
            f"wrote {counted(self.subsets, 'subset')} of {counted(self.pool, 'pool row')}, "
            f"measured on {counted(self.evaluation, 'evaluation row')}, to {self.output} in "
            f"AirRep's {self.layout} layout"
        )


def export(
    runs: str | Path,
    pool: Source,
    evaluation: Source,
    output: str | Path,
    *,
    layout: RunLayout = "test",
    columns: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    evaluation_columns: Mapping[str, str] | None = None,
    on_bad_row: OnBadRow = "error",
    overwrite: bool = False,
) -> ExportedRuns:
    """Write recorded runs in the files that the code of AirRep's authors reads.

    Args:
        runs: Directory that `record` wrote.
        pool: The rows that were trained on; as they were given to `record`.
        evaluation: The rows whose losses were measured; as they were given to `record`.
        output: Directory for the files.
        layout: test, a benchmark that `lds` reads (train.jsonl, test.jsonl, lds.jsonl); or
            training, runs that `train` reads (rows.jsonl, index.jsonl, losses).
        columns: Which field of a pool row is what; as for `record`.
        roles: Names of speakers in conversations to what they are; see `select`.
        evaluation_columns: The same for the evaluation rows; default as for the pool.
        on_bad_row: What to do with a row that cannot be read: error, or skip; as for `record`.
        overwrite: Replace files of these names that are there.

    Returns:
        How much was written; as text, one line.

    Raises:
        CurateError: One of its kinds (see `airrep.errors`), with what to do about it.

    Example:
        >>> import curate
        >>> pool, targets = curate.demo_pool(80), curate.demo_targets("email_reply", 2)
        >>> runs = curate.record(pool, targets, model_directory, "runs", subsets=3, size=4)
        >>> print(curate.export("runs", pool, targets, "published"))  # doctest: +ELLIPSIS
        wrote 3 subsets of 80 pool rows, measured on 2 evaluation rows, to published in ...
    """
    if layout not in get_args(RunLayout):
        raise ArgumentError(
            f"layout {layout!r} is unknown; choose {' or '.join(get_args(RunLayout))}."
        )
    directory = user_path(output, "output")
    check_apart(directory, {"runs": runs, "pool": pool, "evaluation": evaluation})
    for file in (directory / name for name in FILES[layout]):
        if os.path.lexists(file) and not overwrite:
            raise OutputError(
                f"{file}: already there. Choose another directory, or replace it: overwrite=True "
                "(--overwrite)."
            )
    wanted = with_roles(columns, roles)
    asked = wanted if evaluation_columns is None else with_roles(evaluation_columns, roles)
    read = read_runs(runs, pool, evaluation, wanted, asked, on_bad_row)
    check_writable(directory)
    write = write_test_layout if layout == "test" else write_training_layout
    measured = write(read.recorded, read.pool, read.evaluation, directory)
    subsets = len(read.recorded.plan.subsets)
    return ExportedRuns(directory, layout, subsets, len(read.pool), measured)
