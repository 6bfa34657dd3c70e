"""Inputs of a verb as examples, with a record of each for the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from airrep.console.wording import named
from airrep.records import Example
from curate.manifest.provenance import InputRecord, fingerprint
from curate.rows.io import OnBadRow, Rows, read_rows

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset, IterableDataset

Source: TypeAlias = (
    "str | Path | Sequence[Mapping[str, Any] | str | Path] | Dataset | IterableDataset"
    " | pd.DataFrame"
)


@dataclass(frozen=True, eq=False)
class Input:
    """Rows as they are, those that can be used as examples, and what the manifest says of them."""

    rows: Rows
    examples: list[Example]
    record: InputRecord


def read_input(
    given: Source, name: str, columns: Mapping[str, str] | None, on_bad_row: OnBadRow
) -> Input:
    """Read one input.

    Args:
        given: See `curate.select`.
        name: What it is called in messages, if it has no name of its own.
        columns: See `curate.select`.
        on_bad_row: See `curate.select`.

    Raises:
        CurateError: It cannot be read, or a row of it cannot.
    """
    rows = read_rows(given, name)
    examples, skipped = rows.examples(columns, on_bad_row)
    record = InputRecord(named(rows.name), len(rows.dataset), fingerprint(examples), skipped)
    return Input(rows, examples, record)


@dataclass(frozen=True, eq=False)
class Inputs:
    """The pool, and what it is chosen for and tested on.

    Attributes:
        pool: Rows to choose from.
        others: "targets", and "test" if there is one: nothing of these should be in the pool.
    """

    pool: Input
    others: Mapping[str, Input]

    @property
    def targets(self) -> list[Example]:
        """The targets."""
        return self.others["targets"].examples

    @property
    def against(self) -> dict[str, list[Example]]:
        """What leaks are looked for of."""
        return {name: each.examples for name, each in self.others.items()}

    @property
    def records(self) -> dict[str, InputRecord]:
        """For the manifest."""
        return {"pool": self.pool.record, **{n: each.record for n, each in self.others.items()}}


def read_inputs(
    pool: Source,
    targets: Source | None,
    test: Source | None,
    columns: Mapping[str, str] | None,
    target_columns: Mapping[str, str] | None,
    on_bad_row: OnBadRow,
) -> Inputs:
    """Read all that a selection starts from; targets and test rows share their columns."""
    wanted = columns if target_columns is None else target_columns
    read = read_input(pool, "pool", columns, on_bad_row)
    others = {
        name: read_input(given, name, wanted, on_bad_row)
        for name, given in (("targets", targets), ("test", test))
        if given is not None
    }
    return Inputs(read, others)
