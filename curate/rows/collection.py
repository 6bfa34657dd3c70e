"""The rows of one input, where each comes from, and what each says as an example."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from datasets import Dataset
from datasets.features import Json
from datasets.table import InMemoryTable

from airrep.console.wording import shortened
from airrep.errors import ArgumentError, FileFormatError, RecordError
from airrep.records import Example, Examples, Fingerprint, fields_read, normalize
from curate.rows.bad_rows import OnBadRow, SkippedRow, Unreadable, content_of, row_of
from curate.rows.json_values import python_values

Columns: TypeAlias = Mapping[str, Any] | None
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

    def examples(self, columns: Columns = None, on_bad_row: OnBadRow = "error") -> RowsRead:
        """Look at every row once; examples are made from the rows whenever they are asked for.

        Args:
            columns: See `airrep.records.normalize`; with roles of speakers see `with_roles`.
            on_bad_row: With "skip" rows that cannot be read are left out.

        Raises:
            RecordError: A row cannot be read; two rows have the same id; no row is left.
            ArgumentError: `on_bad_row` or `columns` is wrong.
        """
        if on_bad_row not in ("error", "skip"):
            raise ArgumentError(f"on_bad_row {on_bad_row!r} is unknown; choose error or skip.")
        found = RowsRead(self, columns)
        for number, row in enumerate(iterate(self.dataset, self.fields(columns))):
            try:
                found.add(self.example(number, row, columns))
            except RecordError as error:
                if on_bad_row == "error":
                    raise error.at(row_of(*self.place(number))) from None
                found.skip(number, error, row)
        if not len(found.rows):
            reason = ""
            if found.skipped:
                skipped = found.skipped
                every = f"all {len(skipped):,} were" if len(skipped) > 1 else "its one row was"
                reason = f"; {every} skipped, the first: {skipped[0]}"
            raise RecordError(f"{self.name}: no usable rows{reason}")
        return found

    def fields(self, columns: Columns) -> list[str]:
        """The fields that are read."""
        return fields_read(self.dataset.column_names, columns)

    def example(self, number: int, row: dict[str, Any] | RecordError, columns: Columns) -> Example:
        """One row as an example; an error of it names no place.

        Args:
            number: Its position.
            row: The fields of it that are read.
            columns: See `examples`.

        Raises:
            RecordError: It cannot be read.
        """
        if number in self.unreadable:
            raise RecordError(self.unreadable[number].reason)
        if isinstance(row, RecordError):
            raise row
        file, local = self.place(number)
        try:
            read = normalize(row, index=local, origin=file, columns=columns)
        except RecordError as error:
            whole = self.whole(number, row)
            if not isinstance(whole, RecordError) and whole.keys() != row.keys():
                return self.example(number, whole, columns)  # its error names all fields
            error.where = None
            raise
        own_id = read.id if columns and "id" in columns else str(number)
        source = read.source or (_stem(file) if self.files else "")
        return Example(own_id, read.prompt, read.completion, source, number, read.record)

    def whole(self, number: int, row: dict[str, Any] | RecordError) -> dict[str, Any] | RecordError:
        """All of a row but pictures and sounds; an error if a value of it cannot be read.

        Args:
            number: Its position.
            row: The fields of it that are read, perhaps all.
        """
        stored = self._stored
        if isinstance(row, RecordError) or stored is None or len(row) == stored.num_columns:
            return row
        return next(_python_rows(stored[number : number + 1]))

    @cached_property
    def _stored(self) -> Dataset | None:
        """The columns without pictures and sounds, as Arrow tables; None if there are none."""
        names = _readable(self.dataset)
        return self.dataset.select_columns(names).with_format("arrow") if names else None


@lru_cache
def _stem(file: str) -> str:
    return Path(file).name.split(".")[0]


@dataclass(eq=False)
class RowsRead:
    """What is known of rows once each was looked at.

    Attributes:
        of: The rows.
        columns: How they are read.
        skipped: Those that cannot be used.
        layouts: TRL layout of the usable rows to the first row that has it.
    """

    of: Rows
    columns: Columns
    skipped: list[SkippedRow] = field(default_factory=list)
    layouts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = array("q")  # of the usable rows
        self._digest = Fingerprint()
        self._own_ids: dict[str, int] | None = {} if "id" in (self.columns or {}) else None
        self._sources: list[str] = []
        self._names: dict[str, str] = {}  # of sources, each once

    def add(self, example: Example) -> None:
        """Note a usable row; an id that another row has is an error, skipped or not."""
        number = example.row
        if self._own_ids is not None and (self._own_ids.setdefault(example.id, number) != number):
            raise DoubleIdError(
                f"the id {example.id!r} is taken by row {self._own_ids[example.id]}",
                remedy="ids have to be unique",
            )
        self.rows.append(number)
        self._digest.add(example)
        self._sources.append(self._names.setdefault(example.source, example.source))
        self.layouts.setdefault(example.layout, number)

    def skip(self, number: int, error: RecordError, row: dict[str, Any] | RecordError) -> None:
        """Note a row that cannot be used, of which `row` holds what is read.

        Raises:
            RecordError: It has another row's id.
        """
        file, local = self.of.place(number)
        if isinstance(error, DoubleIdError):
            raise error.at(row_of(file, local)) from None
        known = self.of.unreadable.get(number)
        content = known.content if known else content_of(self.of.whole(number, row))
        self.skipped.append(SkippedRow(file, local, str(error), content))

    @property
    def fingerprint(self) -> str:
        """See `curate.manifest.provenance.fingerprint`."""
        return self._digest.hex

    @cached_property
    def examples(self) -> RowExamples:
        """The usable rows as examples."""
        own = None if self._own_ids is None else list(self._own_ids)
        rows = np.array(self.rows, dtype=np.int64)
        return RowExamples(self.of, self.columns, rows, own, self._sources)


class DoubleIdError(RecordError):
    """Two rows have the same id."""


class RowExamples(Examples):
    """Examples that are made from rows whenever they are asked for."""

    def __init__(
        self,
        of: Rows,
        columns: Columns,
        rows: npt.NDArray[np.int64],
        own_ids: list[str] | None,
        sources: list[str],
    ) -> None:
        """Take the rows, how they are read, and what is known of each."""
        self._of, self._columns, self._rows = of, columns, rows
        self._own_ids, self._sources = own_ids, sources

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Example]:
        fields = self._of.fields(self._columns)
        rows = iterate(self._of.dataset, fields, self._rows)
        for number, row in zip(self._rows.tolist(), rows, strict=True):
            yield self._of.example(number, row, self._columns)

    @property
    def ids(self) -> list[str]:
        """See `Examples`."""
        if self._own_ids is not None:
            return self._own_ids
        return list(map(str, self._rows.tolist()))

    @property
    def sources(self) -> list[str]:
        """See `Examples`."""
        return self._sources

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """See `Examples`."""
        return self._rows

    def take(self, positions: npt.NDArray[np.int64]) -> RowExamples:
        """See `Examples`."""
        places = positions.tolist()
        own = None if self._own_ids is None else [self._own_ids[i] for i in places]
        sources = [self._sources[i] for i in places]
        return RowExamples(self._of, self._columns, self._rows[positions], own, sources)


def iterate(
    dataset: Dataset,
    fields: Collection[str] | None = None,
    rows: npt.NDArray[np.int64] | None = None,
) -> Iterator[dict[str, Any] | RecordError]:
    """The rows without their pictures and sounds, of which none is opened.

    A row with a value that Python cannot hold (the year 1,000,000, say) becomes an error.

    Args:
        dataset: The rows.
        fields: The fields that are read; by default all of them.
        rows: Positions of the rows; by default all of them.
    """
    names = [name for name in _readable(dataset) if fields is None or name in fields]
    count = len(dataset) if rows is None else len(rows)
    if not names:
        yield from ({} for _ in range(count))
        return
    stored = dataset.select_columns(names).with_format("arrow")
    for start in range(0, count, READ_AT_ONCE):
        stop = min(start + READ_AT_ONCE, count)
        batch: pa.Table = stored[_slice_or_list(rows, start, stop)]
        step = max(1, len(batch) * _BYTES_AT_ONCE // max(_BYTES_AT_ONCE, batch.nbytes))
        for first in range(0, len(batch), step):
            yield from _python_rows(batch.slice(first, step))


def _readable(dataset: Dataset) -> list[str]:
    """The columns that do not hold pictures or sounds alone."""
    kinds = dataset.features
    return [n for n in dataset.column_names if not all(map(_is_media, _leaves(kinds[n])))]


def _slice_or_list(rows: npt.NDArray[np.int64] | None, start: int, stop: int) -> slice | list[int]:
    """Some positions: as a slice where they follow one another, which is not copied."""
    if rows is None:
        return slice(start, stop)
    some = rows[start:stop]
    if int(some[-1]) - int(some[0]) == len(some) - 1 and bool((np.diff(some) == 1).all()):
        return slice(int(some[0]), int(some[-1]) + 1)
    return some.tolist()


def as_dataset(table: pa.Table, name: str) -> Dataset:
    """The table as a dataset.

    Raises:
        FileFormatError: datasets has no word for the type of a column.
    """
    try:
        # Named, because datasets would pickle the whole table for the digest of its name.
        return Dataset(InMemoryTable(table), fingerprint=uuid4().hex[:16])
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
