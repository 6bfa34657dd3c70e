"""The whole pool as TRL reads it, each row with its number, by which it is known again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from datasets import Dataset

from airrep.console.wording import counted
from airrep.errors import ArgumentError
from airrep.records import Example
from curate.selected_rows import COLUMN_PREFIX
from curate.writing.for_trl import for_trl

# TRL leaves a column that it does not know alone; the trainer drops it when it makes batches.
ROW_COLUMN = COLUMN_PREFIX + "row"


def training_rows(
    rows: Dataset, pool: Sequence[Example], columns: Mapping[str, str] | None
) -> Dataset:
    """The pool's usable rows in the one layout of TRL's that fits them, and their positions.

    Raises:
        ArgumentError: They are of several layouts; see `for_trl`.
    """
    positions = [example.row for example in pool]
    return for_trl(rows.select(positions), columns).add_column(ROW_COLUMN, positions)


def check_rows(prepared: Any, pool: Sequence[Example]) -> None:  # noqa: ANN401 (told apart below)
    """Refuse training rows that are not the pool's, one for one and in its order.

    Raises:
        ArgumentError: They are streamed, unknown, moved, or some are missing.
    """
    if not isinstance(prepared, Dataset):
        raise ArgumentError(
            "train_dataset: expected reselect.dataset (a datasets.Dataset of "
            f"{counted(len(pool), 'row')} that can be picked by number), found "
            f"{type(prepared).__name__}."
        )
    if ROW_COLUMN not in prepared.column_names:
        raise ArgumentError(
            f"train_dataset: no column {ROW_COLUMN!r} says which row of the pool each one is. Pass "
            "reselect.dataset, or what its map() makes of it."
        )
    wanted = [example.row for example in pool]
    found = prepared[ROW_COLUMN][:]
    if found == wanted:
        return
    missing = sorted(set(wanted) - set(found))
    if missing:
        few = ", ".join(map(str, missing[:5])) + (", …" if len(missing) > 5 else "")
        raise ArgumentError(
            f"train_dataset: {len(missing):,} of the pool's {counted(len(pool), 'row')} "
            f"{'is' if len(missing) == 1 else 'are'} gone after "
            f"preparation (counting from 0: {few}). TRL drops rows whose prompt alone fills "
            "max_length: raise max_length, or leave them out of the pool."
        )
    pairs = zip_longest(found, wanted, fillvalue="none")
    place, (row, due) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
    raise ArgumentError(
        f"train_dataset: row {place} is row {row} of the pool, expected {due}: rows were shuffled "
        "or repeated. Pass reselect.dataset as it is, without shuffle_dataset; each round has an "
        "order of its own."
    )
