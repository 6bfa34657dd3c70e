"""Recorded runs in the files that the authors of AirRep publish (github.com/sunnweiwei/AirRep).

Test layout, a benchmark of the LDS:

    DIR/
      train.jsonl, test.jsonl   the pool, and the rows whose losses were measured
      lds.jsonl                 a subset a line: `train_subset` (rows of train.jsonl), `test_loss`
                                (a loss for each row of test.jsonl, in their order)

Training layout:

    DIR/
      rows.jsonl                all rows
      index.jsonl               a subset a line: `id`, `select` (the rows trained on), `dev` (the
                                rows measured), `dev_id` (the split; its subsets share one `dev`)
      losses/loss-ID.json       `pair_id` (the subset's id), `dev_id`, `losses` (a loss for each
                                row of `dev`, in its order), `mean_loss`

Rows count from 0. A loss is the mean over an example's completion tokens, in nats.
Their files have one loss of a subset and a row; of several repeats the mean is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted, shown
from airrep.disk.atomic import atomic_file
from airrep.errors import FileFormatError, MissingInputError
from airrep.records import Example
from airrep.supervision import Indices, SubsetLosses

TRAIN, TEST, LDS = "train.jsonl", "test.jsonl", "lds.jsonl"
ROWS, INDEX, LOSSES = "rows.jsonl", "index.jsonl", "losses"
FILES = {"test": (TRAIN, TEST, LDS), "training": (ROWS, INDEX, LOSSES)}
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class IndexedSplit:
    """The subsets of an index that share their measured rows.

    Attributes:
        dev_id: Name of the split.
        dev: Rows whose losses were measured.
        subsets: Rows of each subset.
        ids: Id of each subset, which names the file of its losses.
    """

    dev_id: int | str
    dev: Indices = field(repr=False)
    subsets: list[Indices] = field(default_factory=list, repr=False)
    ids: list[str] = field(default_factory=list, repr=False)


def read_lds_file(file: Path, pool: int, test: int) -> tuple[list[Indices], Float64]:
    """The subsets and losses of a benchmark.

    Args:
        file: Its lds.jsonl.
        pool: How many rows train.jsonl has.
        test: How many rows test.jsonl has.

    Returns:
        S arrays of rows of train.jsonl, and losses (S, test).

    Raises:
        MissingInputError: There is no such file.
        FileFormatError: A line is no subset with its losses; says which line, and why.
    """
    subsets, losses = [], []
    for place, line in _lines(file):
        subsets.append(_rows(line, "train_subset", pool, place))
        losses.append(_losses(line, "test_loss", test, place))
    return subsets, np.stack(losses)


def read_index(file: Path, rows: int) -> list[IndexedSplit]:
    """The subsets of a training index, by split, in the file's order.

    Args:
        file: Read line by line; kept are the rows of each subset and of each split's `dev`.
        rows: How many rows there are.

    Raises:
        MissingInputError: There is no such file.
        FileFormatError: A line is no subset, an id stands twice, or subsets of one split were
            measured on different rows.
    """
    splits: dict[int | str, IndexedSplit] = {}
    seen: set[str] = set()
    for place, line in _lines(file):
        name = _file_name(_field(line, "id", place), place)
        if name in seen:
            raise FileFormatError(f"the id {name!r} stands on a line before", where=place)
        seen.add(name)
        dev_id = _field(line, "dev_id", place)
        if not isinstance(dev_id, int | str):
            raise FileFormatError(f"dev_id is {shown(dev_id)}, expected a number", where=place)
        dev = _rows(line, "dev", rows, place)
        split = splits.setdefault(dev_id, IndexedSplit(dev_id, dev))
        if not np.array_equal(dev, split.dev):
            problem = f"dev has other rows than on the first line with dev_id {dev_id!r}"
            raise FileFormatError(problem, where=place)
        split.subsets.append(_rows(line, "select", rows, place))
        split.ids.append(name)
    return list(splits.values())


def losses_file(directory: Path, subset_id: str) -> Path:
    """Where a subset's losses are."""
    return directory / f"loss-{subset_id}.json"


def read_losses_file(file: Path, subset_id: str, count: int) -> Float64:
    """A subset's losses on its split's `dev`, in that order.

    Args:
        file: See `losses_file`.
        subset_id: The subset that they should be of.
        count: How many rows `dev` has.

    Raises:
        MissingInputError: There is no such file.
        FileFormatError: It has not as many finite losses, or is of another subset.
    """
    content = _json_object(_bytes(file), str(file))
    found = content.get("pair_id", subset_id)
    if str(found) != subset_id:
        raise FileFormatError(f"pair_id is {shown(found)}, expected {subset_id!r}", where=file)
    return _losses(content, "losses", count, str(file))


def write_test_layout(
    recorded: SubsetLosses, pool: Sequence[Example], evaluation: Sequence[Example], directory: Path
) -> int:
    """Write recorded runs as a benchmark.

    Of runs whose examples have roles, the examples of the role "test" are written, as
    `curate.lds` measures them.

    Args:
        recorded: The runs.
        pool: Their pool; see `SubsetPlan.check`.
        evaluation: Their evaluation examples.
        directory: Where the three files are written.

    Returns:
        How many evaluation examples were written.

    Raises:
        OutputError: The directory cannot be written to.
    """
    tested = recorded.plan.roles.get("test", np.arange(len(evaluation))).tolist()
    _write_lines(directory / TRAIN, map(_row, pool))
    _write_lines(directory / TEST, (_row(evaluation[i]) for i in tested))
    losses = recorded.values.mean(axis=1)[:, tested]
    lines = (
        {"train_subset": rows.tolist(), "test_loss": values.tolist()}
        for rows, values in zip(recorded.plan.subsets, losses, strict=True)
    )
    _write_lines(directory / LDS, lines)
    return len(tested)


def write_training_layout(
    recorded: SubsetLosses, pool: Sequence[Example], evaluation: Sequence[Example], directory: Path
) -> int:
    """Write recorded runs as one split to train an encoder on; see `write_test_layout`.

    All evaluation examples are written, whatever their roles. They stand behind the pool.
    """
    _write_lines(directory / ROWS, map(_row, [*pool, *evaluation]))
    dev = list(range(len(pool), len(pool) + len(evaluation)))
    lines = []
    for number, subset in enumerate(recorded.plan.subsets):
        pair = f"0-{number}"
        losses = recorded.values[number].mean(axis=0)
        content = {"pair_id": pair, "dev_id": 0, "losses": losses.tolist()}
        content["mean_loss"] = float(losses.mean())
        _write_lines(losses_file(directory / LOSSES, pair), [content])
        lines.append({"id": pair, "select": subset.tolist(), "dev": dev, "dev_id": 0})
    _write_lines(directory / INDEX, lines)
    return len(dev)


def _row(example: Example) -> dict[str, str]:
    """Fields in which their code and ours read the prompt and completion that ours read before.

    A language model gets a line break after an `input`, and nothing after a `prompt`.
    """
    broken = example.trl.get("prompt") == f"{example.prompt}\n"
    prompt, completion = ("input", "output") if broken else ("prompt", "response")
    row = {prompt: example.prompt, completion: example.completion}
    return row | ({"source": example.source} if example.source else {})


def _write_lines(
    file: Path, lines: Iterator[Mapping[str, Any]] | Sequence[Mapping[str, Any]]
) -> None:
    with atomic_file(file) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for line in lines:
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")


def _lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line's place, for messages, and its object; there is at least one."""
    empty = True
    try:
        with file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    empty = False
                    place = f"{file}, line {number}"
                    yield place, _json_object(line, place)
    except OSError as error:
        raise _missing(file, error) from error
    if empty:
        raise FileFormatError("expected a subset on each line, found none", where=file)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _missing(file, error) from error


def _missing(file: Path, error: OSError) -> MissingInputError:
    return MissingInputError(f"cannot be read ({error.strerror or error})", where=file)


def _json_object(content: bytes, place: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"not valid JSON ({error})", where=place) from None
    if not isinstance(value, dict):
        raise FileFormatError(f"expected a JSON object, found {type(value).__name__}", where=place)
    return value


def _field(line: Mapping[str, Any], name: str, place: str) -> Any:  # noqa: ANN401 (any JSON)
    if name not in line:
        problem = f"the field {name!r} is missing; found {', '.join(map(repr, line)) or 'none'}"
        raise FileFormatError(problem, where=place)
    return line[name]


def _file_name(value: object, place: str) -> str:
    """An id as the part of a file's name that it is, and nothing but that."""
    name = str(value)
    if not isinstance(value, int | str) or not name or {"/", "\\", "\0"} & {*name}:
        raise FileFormatError(
            f"id is {shown(value)}, expected a number or a text that a file can be named by",
            where=place,
        )
    return name


def _rows(line: Mapping[str, Any], name: str, count: int, place: str) -> Indices:
    """A list of distinct rows, as positions below `count`."""
    found = _array(_field(line, name, place), name, "i", "row numbers", place)
    low, high = int(found.min()), int(found.max())
    if low < 0 or high >= count:
        raise FileFormatError(
            f"{name} holds row {low if low < 0 else high:,}; there are {counted(count, 'row')}, "
            f"0 to {count - 1:,}",
            where=place,
        )
    different, times = np.unique(found, return_counts=True)
    if len(different) < len(found):
        again = int(different[times.argmax()])
        raise FileFormatError(f"{name} holds row {again:,} more than once", where=place)
    return found.astype(np.int64)


def _losses(line: Mapping[str, Any], name: str, count: int, place: str) -> Float64:
    """A list of `count` finite numbers."""
    found = _array(_field(line, name, place), name, "if", "losses", place).astype(np.float64)
    if len(found) != count:
        problem = f"{name} has {counted(len(found), 'number')}, expected one for each of "
        raise FileFormatError(f"{problem}{counted(count, 'row')}", where=place)
    for bad in np.flatnonzero(~np.isfinite(found))[:1].tolist():
        raise FileFormatError(
            f"{name} is {found[bad]} at position {bad:,} (counting from 0)",
            where=place,
            remedy="Leave out the line, or this row in all lines",
        )
    return found


def _array(value: object, name: str, kinds: str, what: str, place: str) -> npt.NDArray[Any]:
    try:
        found = np.asarray(value)
    except (ValueError, OverflowError):  # lists of different lengths
        found = np.empty((0, 0))
    if not isinstance(value, list) or found.ndim != 1 or not len(found):
        raise FileFormatError(
            f"{name}: expected a list of {what}, found {shown(value)}", where=place
        )
    if found.dtype.kind not in kinds:
        problem = f"{name}: expected a list of {what}, found values of type {found.dtype}"
        raise FileFormatError(problem, where=place)
    return found
