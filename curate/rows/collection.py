"""The rows of one input, where each comes from, and what each says as an example."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset
from datasets.features import Json
from datasets.table import InMemoryTable

from airrep.console.wording import shortened
from airrep.errors import ArgumentError, FileFormatError, RecordError
from airrep.records import Example, normalize
from curate.rows.bad_rows import OnBadRow, SkippedRow, Unreadable, content_of, row_of
from curate.rows.json_values import python_values

READ_AT_ONCE = 1000
_BYTES_AT_ONCE = 64 << 20


@dataclass(frozen=True)
class Rows:
    """The user's rows as they are, and where they come from.

    Attributes:
        dataset: The rows.
        name: What to call them in messages.
        files: (first row, file) of each input file, ascending; empty for rows from memory.
        unreadable: Number of each row that is empty because it could not be read, and why.
    """

    dataset: Dataset
    name: str
    files: tuple[tuple[int, str], ...] = ()
    unreadable: Mapping[int, Unreadable] = field(default_factory=dict)

    def place(self, row: int) -> tuple[str, int]:
        """The file (or the collection) that holds a row, and its number there."""
        if not self.files:
            return self.name, row
        first, file = self.files[bisect_right(self.files, (row, "\U0010ffff")) - 1]
        return file, row - first

    def examples(
        self, columns: Mapping[str, str] | None, on_bad_row: OnBadRow = "error"
    ) -> tuple[list[Example], list[SkippedRow]]:
        """Every row as an `Example`, and the rows that were skipped (if `on_bad_row` is "skip").

        Raises:
            RecordError: A row cannot be read; two rows have the same id; no row is left.
            ArgumentError: `on_bad_row` or `columns` is wrong.
        """
        if on_bad_row not in ("error", "skip"):
            raise ArgumentError(f"on_bad_row {on_bad_row!r} is unknown; choose error or skip.")
        examples: list[Example] = []
        skipped: list[SkippedRow] = []
        first_with: dict[str, int] = {}
        for number, row in enumerate(iterate(self.dataset)):
            file, local = self.place(number)
            try:
                example = self._example(number, row, columns)
            except RecordError as error:
                if on_bad_row == "error":
                    raise error.at(row_of(file, local)) from None
                known = self.unreadable.get(number)
                content = known.content if known else content_of(row)
                skipped.append(SkippedRow(file, local, str(error), content))
                continue
            if "id" in (columns or {}) and first_with.setdefault(example.id, number) != number:
                raise RecordError(
                    f"the id {example.id!r} is taken by row {first_with[example.id]}",
                    where=row_of(file, local),
                    remedy="ids have to be unique",
                )
            examples.append(example)
        if not examples:
            reason = ""
            if skipped:
                every = f"all {len(skipped):,} were" if len(skipped) > 1 else "its one row was"
                reason = f"; {every} skipped, the first: {skipped[0]}"
            raise RecordError(f"{self.name}: no usable rows{reason}")
        return examples, skipped

    def _example(
        self, number: int, row: dict[str, Any] | RecordError, columns: Mapping[str, str] | None
    ) -> Example:
        """One row as an example; an error of it names no place."""
        if number in self.unreadable:
            raise RecordError(self.unreadable[number].reason)
        if isinstance(row, RecordError):
            raise row
        file, local = self.place(number)
        try:
            read = normalize(row, index=local, origin=file, columns=columns)
        except RecordError as error:
            error.where = None
            raise
        own_id = read.id if "id" in (columns or {}) else str(number)
        source = read.source or (Path(file).name.split(".")[0] if self.files else "")
        return replace(read, id=own_id, source=source, row=number)


def iterate(
    dataset: Dataset, fields: Collection[str] | None = None
) -> Iterator[dict[str, Any] | RecordError]:
    """The rows without their pictures and sounds, of which none is opened.

    A row with a value that Python cannot hold (the year 1,000,000, say) becomes an error.

    Args:
        dataset: The rows.
        fields: The fields that are read; by default all of them.
    """
    wanted = [name for name in dataset.column_names if fields is None or name in fields]
    names = [n for n in wanted if not all(map(_is_media, _leaves(dataset.features[n])))]
    if not names:
        yield from ({} for _ in range(len(dataset)))
        return
    stored = dataset.select_columns(names).with_format("arrow")
    for start in range(0, len(dataset), READ_AT_ONCE):
        batch: pa.Table = stored[start : start + READ_AT_ONCE]
        step = max(1, len(batch) * _BYTES_AT_ONCE // max(_BYTES_AT_ONCE, batch.nbytes))
        for first in range(0, len(batch), step):
            yield from _python_rows(batch.slice(first, step))


def as_dataset(table: pa.Table, name: str) -> Dataset:
    """The table as a dataset.

    Raises:
        FileFormatError: datasets has no word for the type of a column.
    """
    try:
        return Dataset(InMemoryTable(table))
    except Exception as error:  # types that it has no word for, damaged metadata of its own
        culprit = next((each for each in table.schema if not _has_a_type(each)), None)
        problem = "its metadata"
        if culprit is not None:
            problem = f"field {culprit.name!r} is of type {shortened(culprit.type, 80)}"
        reason = shortened(error, 200)
        raise FileFormatError(
            f"{name}: datasets cannot hold these rows: {problem} ({type(error).__name__}: "
            f"{reason}). Convert it, or leave it out."
        ) from error


def holds_media(kind: Any) -> bool:  # noqa: ANN401 (a feature of datasets)
    """Whether a feature holds pictures, sounds or the like anywhere."""
    return any(map(_is_media, _leaves(kind)))


def _leaves(kind: Any) -> list[Any]:  # noqa: ANN401
    if isinstance(kind, Mapping):
        return [leaf for each in kind.values() for leaf in _leaves(each)]
    below = getattr(kind, "feature", None)
    return [kind] if below is None else _leaves(below)


def _is_media(leaf: Any) -> bool:  # noqa: ANN401
    return hasattr(leaf, "decode_example") and not isinstance(leaf, Json)


def _python_rows(table: pa.Table) -> Iterator[dict[str, Any] | RecordError]:
    try:
        columns = [python_values(column) for column in table.columns]
    except Exception as error:  # Arrow, datasets and json raise many kinds
        if len(table) > 1:
            for row in range(len(table)):
                yield from _python_rows(table.slice(row, 1))
            return
        reason = shortened(error, 200)
        yield RecordError(
            f"a value of it cannot be read ({type(error).__name__}: {reason})",
            remedy="Mend it, or leave its field out",
        )
        return
    for values in zip(*columns, strict=True):
        yield dict(zip(table.column_names, values, strict=True))


def _has_a_type(each: pa.Field) -> bool:
    try:
        Dataset(InMemoryTable(pa.schema([each]).empty_table()))
    except Exception:  # of many kinds; the first one is told by the caller
        return False
    return True
