"""The result of `curate.select`: the chosen rows, why each is in, and how to repeat the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import pyarrow.parquet as pq
from datasets import Dataset, DatasetInfo
from datasets.table import InMemoryTable

from airrep.atomic import atomic_file, write_json
from airrep.errors import ArgumentError
from airrep.records import Example, trl_record
from curate.manifest import Manifest
from curate.summary import summarise
from selection.result import Selection

FileFormat = Literal["parquet", "jsonl"]
COLUMN_PREFIX = "curate_"
MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Chosen rows, best first.

    Attributes:
        selection: Positions, gains and scores, as the selector returned them; positions count
            the usable pool rows.
        pool: The usable pool rows, as examples.
        targets: The targets, as examples.
        manifest: Provenance; enough to repeat the run.
    """

    selection: Selection
    pool: list[Example] = field(repr=False)
    targets: list[Example] = field(repr=False)
    manifest: Manifest = field(repr=False)
    _rows: Dataset = field(repr=False)
    _columns: Mapping[str, str] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.selection)

    @cached_property
    def dataset(self) -> Dataset:
        """The user's rows, untouched, in order of rank, with columns that say why each is in.

        `curate_rank` (from 0), `curate_row` (position in the pool, from 0), `curate_target` (id
        of the target that earned the row), `curate_score` (the row's score for that target),
        `curate_gain` (what the row added when it was chosen), `curate_layer`.
        """
        chosen = self.selection
        positions = [self.pool[i].row for i in chosen.indices.tolist()]
        rows = _flat(self._rows.select(positions))
        taken = [name for name in rows.column_names if name.startswith(COLUMN_PREFIX)]
        rows = rows.remove_columns(taken)  # of an earlier selection, from which this one was made
        reasons = {
            "rank": list(range(len(chosen))),
            "row": positions,
            "target": [self.targets[x].id for x in chosen.targets.tolist()],
            "score": chosen.scores.tolist(),
            "gain": chosen.gains.tolist(),
            "layer": chosen.layers.tolist(),
        }
        for name, values in reasons.items():
            rows = rows.add_column(COLUMN_PREFIX + name, values)
        return rows

    def to_trl(self) -> Dataset:
        """The chosen rows in exactly one layout that TRL's trainers read.

        `messages` for conversations, `text` for plain text, `prompt` and `completion` for the rest.

        Raises:
            ArgumentError: The rows are of several layouts, which no trainer reads together.
        """
        records = [
            trl_record(self._rows[self.pool[i].row], columns=self._columns)
            for i in self.selection.indices.tolist()
        ]
        layouts = {tuple(record) for record in records}
        if len(layouts) > 1:
            found = " and ".join("+".join(layout) for layout in sorted(layouts))
            raise ArgumentError(
                f"the chosen rows mix the layouts {found}, which TRL does not read together; "
                "convert the pool to one of them."
            )
        return Dataset.from_list(records)

    def summary(self) -> str:
        """What was read, what was chosen, from which sources, for which targets, in what time."""
        return summarise(self.selection, self.pool, self.targets, self.manifest)

    def save(self, directory: str | Path, *, format: FileFormat = "parquet") -> Path:  # noqa: A002
        """Write the training set; each file appears whole or not at all.

        `train.*` is what `to_trl` returns, `selection.*` is `dataset`, and `manifest.json` repeats
        the run: `curate select --config DIR/manifest.json`.

        Args:
            directory: Created if need be; files of an earlier save are replaced.
            format: "parquet" or "jsonl".

        Returns:
            The directory.

        Raises:
            OutputError: The directory cannot be written to.
            ArgumentError: `format` is unknown.
        """
        check_format(format)
        directory = Path(directory)
        for name, dataset in (("train", self.to_trl()), ("selection", self.dataset)):
            with atomic_file(directory / f"{name}.{format}") as temporary:
                _write(dataset, temporary, format)
        write_json(directory / MANIFEST_FILE, self.manifest.to_dict())
        return directory


def check_format(format: str) -> None:  # noqa: A002
    """Refuse a file format that `TrainingSet.save` cannot write.

    Raises:
        ArgumentError: The format is unknown.
    """
    if format not in get_args(FileFormat):
        raise ArgumentError(
            f"format {format!r} is unknown; choose {' or '.join(get_args(FileFormat))}."
        )


def _flat(rows: Dataset) -> Dataset:
    """The rows of a view, as a table of their own."""
    table = rows.with_format("arrow")[:]
    return Dataset(InMemoryTable(table), info=DatasetInfo(features=rows.features))


def _write(dataset: Dataset, file: Path, format: FileFormat) -> None:  # noqa: A002
    if format == "parquet":
        pq.write_table(dataset.with_format("arrow")[:], file)
        return
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        for row in dataset:
            stream.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
