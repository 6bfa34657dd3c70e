"""Inputs of a verb as examples, with a record of each for the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from airrep.console.wording import named
from airrep.errors import RecordError
from airrep.records import Example
from curate.manifest.provenance import InputRecord, fingerprint
from curate.rows.io import OnBadRow, Rows, SkippedRow, read_rows

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset, DatasetDict, IterableDataset

Source: TypeAlias = (
    "str | Path | Sequence[Mapping[str, Any] | str | Path] | Dataset | IterableDataset"
    " | DatasetDict | pd.DataFrame | ArrowStream | Mapping[str, Any]"
)


class ArrowStream(Protocol):
    """Tables that speak Arrow: of pyarrow, polars and others."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """A capsule of the stream."""


@dataclass(frozen=True, eq=False)
class Input:
    """Rows as they are, those that can be used as examples, and what the manifest says of them.

    Attributes:
        rows: The rows.
        examples: Those that can be used.
        record: What the manifest says of them.
        skipped: Those that cannot be used, with `on_bad_row="skip"`.
    """

    rows: Rows
    examples: list[Example]
    record: InputRecord
    skipped: list[SkippedRow] = field(default_factory=list)


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
    rows = read_rows(given, name, on_bad_row)
    examples, skipped = rows.examples(columns, on_bad_row)
    reasons = [str(each) for each in skipped]
    record = InputRecord(named(rows.name), len(rows.dataset), fingerprint(examples), reasons)
    return Input(rows, examples, record, skipped)


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
    others = {}
    for name, given in (("targets", targets), ("test", test)):
        if given is None:
            continue
        try:
            others[name] = read_input(given, name, wanted, on_bad_row)
        except RecordError as error:
            if columns and target_columns is None:
                error.remedy = _for_targets(error.remedy, name)
            raise
    return Inputs(read, others)


def _for_targets(remedy: str | None, name: str) -> str:
    hint = (
        f"columns= applies to the {name} too; if their fields are others, name those with "
        "target_columns= (--target-columns), which may be {} for the usual ones"
    )
    return f"{remedy.removesuffix('.')}; {hint}" if remedy else hint
