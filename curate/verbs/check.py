"""The verb that only looks: `check` a pool for leaks and near-duplicates."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from airrep.disk.atomic import check_writable
from airrep.disk.paths import not_ours, user_path
from airrep.disk.sealed import read_sealed, write_sealed
from airrep.errors import FileFormatError
from curate.guard import GuardReport, Leakage, examine
from curate.rows.io import OnBadRow
from curate.stages.inputs import Source, read_inputs

_KEYS = {"leakage", "duplicates", "counts", "removed", "warned", "clusters"}  # of what it writes


def check(
    pool: Source,
    targets: Source | None = None,
    test: Source | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    target_columns: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    on_bad_row: OnBadRow = "error",
    output: str | Path | None = None,
) -> GuardReport:
    """Look for near-duplicates in a pool, and for what it gives away of targets and test rows.

    Nothing is removed; `curate.select` does that by itself. docs/guard.md says what counts.

    Args:
        pool: Rows that may be trained on; anything that `select` takes.
        targets: Examples of what the model should be good at.
        test: What the model will be tested on; read like the targets.
        columns: Which field is what, where that is not obvious; see `select`.
        target_columns: The same for targets and test rows; default as for the pool.
        roles: Names of speakers in conversations to what they are: system, user, assistant or tool;
            where a name is not known (docs/rows.md).
        on_bad_row: What to do with a row that cannot be read: error, or skip.
        output: JSON file for all that was found; one that is there is replaced if it holds what
            an earlier check found, and refused if it is anything else.

    Returns:
        What was found; as text, the figures and the plainest cases.

    Raises:
        CurateError: One of its kinds (see `airrep.errors`), with what to do about it.

    Example:
        >>> import curate
        >>> pool, targets = curate.demo_pool(80), curate.demo_targets("email_reply", 2)
        >>> curate.check([*pool, targets[0]], targets).counts["leaks"]
        1
    """
    if output is not None:
        output = user_path(output, "output")
        _check_output(output)
    inputs = read_inputs(pool, targets, test, columns, target_columns, roles, on_bad_row)
    leakage: Leakage = "warn" if inputs.others else "off"
    found = examine(inputs.pool.examples, inputs.against, leakage=leakage, duplicates="warn")
    report, _ = found.settle()
    if output is not None:
        write_sealed(output, report.to_dict())
    return report


def _check_output(file: Path) -> None:
    """Refuse a file that is there and is not what an earlier check found, or cannot be written.

    Raises:
        OutputError: It would be replaced, or its directory cannot be written to.
    """
    check_writable(file.parent)
    if not os.path.lexists(file):
        return
    try:
        found = read_sealed(file)
    except FileFormatError:
        found = {}
    if not found.keys() >= _KEYS:
        raise not_ours(file)
