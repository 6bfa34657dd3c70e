"""Inputs of a verb as examples, with a record of each for the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from airrep.console.wording import named
from airrep.errors import ArgumentError, RecordError
from airrep.records import Example, Examples, with_roles
from curate.manifest.provenance import InputRecord
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
        layouts: TRL layout of the usable rows to the first row that has it.
    """

    rows: Rows
    examples: Examples
    record: InputRecord
    skipped: list[SkippedRow]
    layouts: Mapping[str, int]

    def example_at(self, row: int) -> Example:
        """The example of one of the user's rows, by its position."""
        return self.examples[int(np.searchsorted(self.examples.rows, row))]

    def check_layout(self, name: str) -> None:
        """Refuse rows of several layouts, which no trainer reads together.

        Args:
            name: What the rows are called in messages.

        Raises:
            ArgumentError: They are of several layouts.
        """
        if len(self.layouts) > 1:
            places = {layout: self.rows.place(row) for layout, row in self.layouts.items()}
            found = " and ".join(
                f"{layout} (first in {named(file)}, row {row})"
                for layout, (file, row) in places.items()
            )
            raise ArgumentError(
                f"the {name} mixes the layouts {found}, which TRL does not read together; convert "
                "it to one of them. Rows count from 0."
            )


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
    read = rows.examples(columns, on_bad_row)
    reasons = [str(each) for each in read.skipped]
    record = InputRecord(named(rows.name), len(rows.dataset), read.fingerprint, reasons)
    return Input(rows, read.examples, record, read.skipped, read.layouts)


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
    def targets(self) -> Examples:
        """The targets."""
        return self.others["targets"].examples

    @property
    def against(self) -> dict[str, Examples]:
        """What leaks are looked for of."""
        return {name: each.examples for name, each in self.others.items()}

    @property
    def records(self) -> dict[str, InputRecord]:
        """For the manifest."""
        return {"pool": self.pool.record, **{n: each.record for n, each in self.others.items()}}


def what_is_scored(inputs: Inputs, *, signed: bool) -> str | None:
    """What of the pool's rows is scored, where that is not simply their prompt and completion.

    Args:
        inputs: The rows.
        signed: Whether scores below 0 mean that a row hurts.
    """
    (layout,) = {each.removesuffix(" as messages") for each in inputs.pool.layouts}
    fields = layout.split("+")
    if "rejected" in fields:
        return "the chosen answers" + " less the rejected ones" * signed
    if "label" in fields:
        return "the answers" + (", negated where they are not wished for" if signed else "")
    return "the prompts, with their reference answers" if fields == ["prompt"] else None


def compares_answers(inputs: Inputs) -> bool:
    """Whether pool or targets have rejected answers, or labels of answers."""
    layouts = {*inputs.pool.layouts, *inputs.others["targets"].layouts}
    return any("rejected" in layout or "label" in layout for layout in layouts)


def read_inputs(
    pool: Source,
    targets: Source | None,
    test: Source | None,
    columns: Mapping[str, str] | None,
    target_columns: Mapping[str, str] | None,
    roles: Mapping[str, str] | None,
    on_bad_row: OnBadRow,
) -> Inputs:
    """Read all that a selection starts from; targets and test rows share their columns."""
    wanted = with_roles(columns if target_columns is None else target_columns, roles)
    read = read_input(pool, "pool", with_roles(columns, roles), on_bad_row)
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
