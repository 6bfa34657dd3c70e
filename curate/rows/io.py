"""Readers of rows: files, globs, Hugging Face datasets, data frames, lists."""

from __future__ import annotations

import glob
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
from datasets import Dataset, DatasetDict, IterableDataset, load_dataset
from datasets.table import InMemoryTable

from airrep.console.wording import counted, named, shortened, shown
from airrep.disk.paths import user_path
from airrep.errors import ArgumentError, FileFormatError, MissingInputError, RecordError
from airrep.machine.processes import processes
from airrep.records import Example, normalize
from curate.rows.columns import table_of
from curate.rows.files import SUFFIXES, read_file, read_standard_input
from curate.rows.saved_dataset import read_saved
from curate.rows.streams import STANDARD_INPUT

OnBadRow = Literal["error", "skip"]
_HUB_NAME = re.compile(
    r"(?P<name>\w[\w.-]*/[\w.-]+)(?:/(?P<config>[\w.-]+))?(?::(?P<split>[\w.\[\]:%+-]+))?"
)
_READ_AT_ONCE = 1000


@dataclass(frozen=True)
class Rows:
    """The user's rows as they are, and where they come from.

    Attributes:
        dataset: The rows.
        name: What to call them in messages.
        files: (first row, file) of each input file, ascending; empty for rows from memory.
    """

    dataset: Dataset
    name: str
    files: tuple[tuple[int, str], ...] = ()

    def place(self, row: int) -> tuple[str, int]:
        """The file (or the collection) that holds a row, and its number there."""
        if not self.files:
            return self.name, row
        first, file = self.files[bisect_right(self.files, (row, "\U0010ffff")) - 1]
        return file, row - first

    def examples(
        self, columns: Mapping[str, str] | None, on_bad_row: OnBadRow = "error"
    ) -> tuple[list[Example], list[str]]:
        """Every row as an `Example`, and why rows were skipped (if `on_bad_row` is "skip").

        Raises:
            RecordError: A row cannot be read; two rows have the same id; no row is left.
            ArgumentError: `on_bad_row` or `columns` is wrong.
        """
        if on_bad_row not in ("error", "skip"):
            raise ArgumentError(f"on_bad_row {on_bad_row!r} is unknown; choose error or skip.")
        examples: list[Example] = []
        skipped: list[str] = []
        first_with: dict[str, int] = {}
        for number, row in enumerate(_iterate(self.dataset)):
            file, local = self.place(number)
            try:
                if isinstance(row, RecordError):
                    raise row.at(_row(file, local))
                read = normalize(row, index=local, origin=file, columns=columns)
            except RecordError as error:
                if on_bad_row == "error":
                    raise
                error.where = _row(named(file), local)
                skipped.append(str(error))
                continue
            own_ids = "id" in (columns or {})
            source = read.source or (Path(file).name.split(".")[0] if self.files else "")
            example = replace(
                read, id=read.id if own_ids else str(number), source=source, row=number
            )
            if own_ids and first_with.setdefault(example.id, number) != number:
                raise RecordError(
                    f"the id {example.id!r} is taken by row {first_with[example.id]}",
                    where=_row(file, local),
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


def read_rows(given: Any, name: str) -> Rows:  # noqa: ANN401 (see `curate.stages.inputs.Source`)
    """Read `given` (see `curate.select`) as rows; `name` is "pool", "targets" or "test".

    Raises:
        MissingInputError: No such file, glob or dataset.
        FileFormatError: A file's content is not what its suffix promises.
        ArgumentError: Nothing that holds rows, or nothing in it.
    """
    if isinstance(given, Rows):
        rows = given
    elif isinstance(given, str | Path):
        rows = _from_name(given, name)
    elif isinstance(given, list | tuple) and given and all(isinstance(f, Path) for f in given):
        rows = _from_files([user_path(file, name) for file in given], name)
    else:
        rows = Rows(_from_memory(given, name), name)
    if len(rows.dataset) == 0:
        raise ArgumentError(f"{name}: {rows.name} holds no rows.")
    return rows


def rows_from_standard_input() -> Rows:
    """Read JSON lines from standard input, which can be read once; `read_rows` takes the result.

    Raises:
        ArgumentError: There are several processes, of which only one would find the rows.
        FileFormatError: A line is not a JSON object.
    """
    if processes() > 1:
        raise ArgumentError("several processes cannot share standard input; name a file of rows.")
    return Rows(_dataset(read_standard_input(), STANDARD_INPUT), STANDARD_INPUT)


def places_of(given: object) -> list[Path]:
    """The files and directories that `read_rows` would read; none for what is not on this disk.

    Args:
        given: Anything that `read_rows` takes, or that a model can be given as.
    """
    if isinstance(given, Dataset):
        return [Path(mapped["filename"]) for mapped in given.cache_files]
    if isinstance(given, str | Path):
        given = [Path(given)] if str(given) else []
    if not isinstance(given, list | tuple):
        return []
    found: list[Path] = []
    for path in given:
        if isinstance(path, Path):
            with suppress(OSError, ValueError):  # of those the reader will speak
                path = user_path(path, "path")
                found += [path] if path.is_dir() else _files(path)
    return found


def _row(place: str, number: int) -> str:
    return f"{place}, row {number} (counting from 0)"


def _iterate(dataset: Dataset) -> Iterator[dict[str, Any] | RecordError]:
    """Rows; an error for one with a value that Python cannot hold: the year 1,000,000, say."""
    for start in range(0, len(dataset), _READ_AT_ONCE):
        stop = min(start + _READ_AT_ONCE, len(dataset))
        try:
            batch = dataset[start:stop]
        except Exception:  # Arrow, datasets and the decoders of its features raise many kinds
            yield from (_one(dataset, row) for row in range(start, stop))
            continue
        fields = list(batch)
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(fields, values, strict=True))


def _one(dataset: Dataset, row: int) -> dict[str, Any] | RecordError:
    try:
        found: dict[str, Any] = dataset[row]
        return found
    except Exception as error:
        reason = shortened(error, 200)
        return RecordError(
            f"a value of it cannot be read ({type(error).__name__}: {reason})",
            remedy="Mend it, or leave its field out",
        )


def _from_name(given: str | Path, name: str) -> Rows:
    text = str(given)
    try:
        path = user_path(given, name)
        if path.is_dir():
            return Rows(_from_directory(path, name), str(path))
        files = _files(path)
    except OSError as error:  # too long a name
        if isinstance(error, MissingInputError):
            raise
        raise MissingInputError(
            f"{name}: {shown(text, 200)} cannot be read ({shortened(error, 200)})."
        ) from error
    if files:
        return _from_files(files, name)
    if isinstance(given, str) and not text.lower().endswith((*SUFFIXES, ".gz")):
        match = _HUB_NAME.fullmatch(text)
        if match and (match["split"] or not _is_glob(path)):  # a split may be a slice: train[:10%]
            return Rows(_from_hub(text, **match.groupdict()), text)
    raise MissingInputError(f"{name}: no file matches {text!r} (looked in {Path.cwd()}).")


def _is_glob(path: Path) -> bool:
    return any(sign in str(path) for sign in "*?[")


def _files(path: Path) -> list[Path]:
    """The file of this name, or those that match it as a pattern."""
    if path.is_file():
        return [path]
    if not _is_glob(path):
        return []
    found = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207 (any root)
    return [file for file in found if file.is_file()]


def _from_files(files: list[Path], name: str) -> Rows:
    tables, starts, row = [], [], 0
    for file in files:
        _check_name(file, name)
        try:
            table = read_file(file)
        except OSError as error:
            raise MissingInputError(f"{name}: {file} cannot be read ({error}).") from error
        tables.append(table)
        starts.append((row, str(file)))
        row += table.num_rows
    try:
        whole = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise FileFormatError(
            f"{name}: the files {', '.join(map(str, files))} have columns that do not go together "
            f"({error})."
        ) from error
    label = str(files[0]) if len(files) == 1 else counted(len(files), "file")
    return Rows(_dataset(whole, label), label, tuple(starts))


def _from_directory(path: Path, name: str) -> Dataset:
    _check_name(path, name)
    return _from_memory(read_saved(path), str(path))


def _check_name(path: Path, name: str) -> None:
    """Refuse a path that could not be written to a manifest."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        raise MissingInputError(
            f"{name}: the name of {str(path)!r} is not UTF-8; rename the file."
        ) from error


def _from_hub(text: str, name: str, config: str | None, split: str | None) -> Dataset:
    try:
        return load_dataset(name, config, split=split or "train")
    except Exception as error:  # the hub, its cache and dataset readers raise many kinds
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise MissingInputError(
            f"{text!r} is no local file, and could not be loaded from the Hugging Face hub as "
            f"dataset {name!r}, config {config or 'default'!r}, split {split or 'train'!r} "
            f"({reason})."
        ) from error


def _from_memory(given: Any, name: str) -> Dataset:  # noqa: ANN401 (told apart below)
    if isinstance(given, Dataset):
        return given.with_format(None)
    if isinstance(given, DatasetDict):
        raise ArgumentError(
            f"{name}: this is a DatasetDict with the splits {list(given)}; pass one of them."
        )
    if isinstance(given, pd.DataFrame):
        return _dataset(_from_frame(given, name), name)
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise ArgumentError(
            f"{name}: expected a path, a dataset, a data frame or a list of rows, found "
            f"{type(given).__name__}."
        )
    rows = given.with_format(None) if isinstance(given, IterableDataset) else given
    return _dataset(table_of((_as_mapping(row, i, name) for i, row in enumerate(rows)), name), name)


def _from_frame(given: pd.DataFrame, name: str) -> pa.Table:
    names = given.columns.tolist()
    if len({str(each) for each in names}) < len(names):
        raise FileFormatError(
            f"{name}: the data frame's columns are named {shown(names, 200)}; expected each "
            "name once."
        )
    try:
        return pa.Table.from_pandas(given, preserve_index=False)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise FileFormatError(
            f"{name}: the data frame has a column of values that do not go together ({reason}). "
            "Make them one type."
        ) from error


def _as_mapping(row: Any, index: int, name: str) -> Mapping[str, Any]:  # noqa: ANN401
    if isinstance(row, str):
        return {"text": row}
    if isinstance(row, Mapping):
        return row
    problem = f"expected a mapping or a string, found {type(row).__name__}"
    raise RecordError(problem, where=_row(name, index))


def _dataset(table: pa.Table, name: str) -> Dataset:
    try:
        return Dataset(InMemoryTable(table))
    except Exception as error:  # types that it has no word for, damaged metadata of its own
        field = next((f for f in table.schema if not _has_a_type(f)), None)
        culprit = "its metadata"
        if field is not None:
            culprit = f"field {field.name!r} is of type {shortened(field.type, 80)}"
        reason = shortened(error, 200)
        raise FileFormatError(
            f"{name}: datasets cannot hold these rows: {culprit} ({type(error).__name__}: "
            f"{reason}). Convert it, or leave it out."
        ) from error


def _has_a_type(field: pa.Field) -> bool:
    try:
        Dataset(InMemoryTable(pa.schema([field]).empty_table()))
    except Exception:  # of many kinds; the first one is told by the caller
        return False
    return True
