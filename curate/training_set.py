"""The result of `curate.select`: the chosen rows, why each is in, and how to repeat the run."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetInfo
from datasets.table import InMemoryTable
from huggingface_hub import DatasetCard
from pandas import option_context

from airrep.console.wording import counted
from airrep.disk.atomic import atomic_file
from airrep.disk.digests import file_digest
from airrep.disk.locks import locked
from airrep.disk.paths import user_path
from airrep.disk.sealed import write_sealed
from airrep.errors import ArgumentError
from airrep.records import Example, normalise, trl_record
from curate.guard import GuardReport
from curate.manifest.provenance import FILES_KEY, MANIFEST_FILE, Manifest, identity
from curate.report import Explanation, Insight, explain, gather, guarded, write_insight
from curate.report.seal import reports_of_another
from curate.stages.destination import (
    LOCK,
    FileFormat,
    check_directory,
    check_format,
    check_replaceable,
    check_same_selection,
    read_manifest,
    remember,
)
from curate.summary import dataset_card, summarise
from selection.overview import ScoreOverview
from selection.result import Selection

if TYPE_CHECKING:
    import pandas as pd

COLUMN_PREFIX = "curate_"
_REASONS = ("rank", "row", "target", "score", "gain", "objective", "layer")
ADDED = tuple(COLUMN_PREFIX + reason for reason in _REASONS)
_SHOWN, _SHOWN_WIDTH = 5, 80  # rows, and characters of a cell, in a notebook
_EVERY_SELECTIONS = {*ADDED} - {"curate_objective"}  # which earlier versions did not add


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Chosen rows, best first.

    Attributes:
        selection: Positions, gains and scores, as the selector returned them; positions count
            `pool`.
        pool: The pool rows that could be chosen, as examples: those that could be read and that the
            guard did not remove. An example's `row` is its position in the user's rows.
        targets: The targets, as examples.
        guard: Leaks and near-duplicates that were found, and what was done about them.
        manifest: Provenance; enough to repeat the run.
        overview: What the scores say, as far as reports and explanations need it.
    """

    selection: Selection
    pool: list[Example] = field(repr=False)
    targets: list[Example] = field(repr=False)
    guard: GuardReport = field(repr=False)
    manifest: Manifest = field(repr=False)
    overview: ScoreOverview = field(repr=False)
    _rows: Dataset = field(repr=False)
    _columns: Mapping[str, str] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.selection)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows of `dataset`, best first."""
        return iter(self.dataset)

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 (whatever a Dataset takes and returns)
        """What `dataset` has at this position, slice, list of positions or column name."""
        return self.dataset[key]

    def __repr__(self) -> str:
        chosen = self.manifest.chosen
        return (
            f"TrainingSet({counted(len(self), 'row')} of {len(self.pool):,} for "
            f"{counted(len(self.targets), 'target')}, by {chosen['selector']} of "
            f"{chosen['scorer']} scores)"
        )

    def _repr_html_(self) -> str:
        """The first rows as a table, for notebooks; what rows hold is escaped."""
        first = self.dataset.select(range(min(len(self), _SHOWN))).to_pandas()
        more = f"<p>and {len(self) - _SHOWN:,} more</p>" if len(self) > _SHOWN else ""
        with option_context("display.max_colwidth", _SHOWN_WIDTH):
            return f"<p>{escape(repr(self))}</p>{first.to_html(index=False, border=0)}{more}"

    def to_pandas(self) -> pd.DataFrame:
        """`dataset` as a data frame."""
        return self.dataset.to_pandas()

    def push_to_hub(self, repo_id: str, *, private: bool = False) -> str:
        """Upload what `to_trl` returns to the Hugging Face hub, with a card on how it was made.

        Args:
            repo_id: "owner/name" of the data set; created if need be.
            private: Whether only its owner sees it, if it is created.

        Returns:
            The URL of the commit.

        Raises:
            ArgumentError: The rows are of several layouts; see `to_trl`.
        """
        commit = self.to_trl().push_to_hub(repo_id, private=private)
        card = DatasetCard.load(repo_id)
        card.text = dataset_card(repo_id, self.summary(), self.manifest)
        card.push_to_hub(repo_id)
        return str(commit.commit_url)

    @cached_property
    def dataset(self) -> Dataset:
        """The user's rows, untouched, in order of rank, with columns that say why each is in.

        `curate_rank` (from 0), `curate_row` (position in the pool, from 0), `curate_target` (id
        of the target that earned the row), `curate_score` (the row's score for that target),
        `curate_gain` (by how much the row improved the selector's objective when it was chosen,
        below 0 where it made it worse), `curate_objective` (the objective's value after that; like
        the gain empty where the selector has none), `curate_layer` (from 0). Those of an earlier
        selection, from which this one was made, are replaced; other columns of yours never are.
        """
        chosen = self.selection
        positions = [self.pool[i].row for i in chosen.indices.tolist()]
        rows = _flat(self._rows.select(positions))
        rows = rows.remove_columns([name for name in rows.column_names if name in ADDED])
        reasons = (
            list(range(len(chosen))),
            positions,
            [self.targets[x].id for x in chosen.targets.tolist()],
            chosen.scores.tolist(),
            None if chosen.objective is None else chosen.gains.tolist(),
            None if chosen.objective is None else chosen.objective.values.tolist(),
            chosen.layers.tolist(),
        )
        for name, values in zip(ADDED, reasons, strict=True):
            column: Any = pa.nulls(len(chosen), pa.float64()) if values is None else values
            rows = rows.add_column(name, column)
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
        return summarise(self.selection, self.pool, self.targets, self.guard, self.manifest)

    def report(self, path: str | Path = "report.html") -> Path:
        """Write a report: one HTML file that needs no network (docs/report.md).

        Args:
            path: Path of the file; a report that is there is replaced, any other file never.

        Returns:
            The path.

        Raises:
            OutputError: It cannot be written to, or another file stands there.
        """
        from curate.report.page import write_report  # here, because it brings a template engine

        return write_report(self._insight, path)

    def explain(self, name: str | int, *, target: bool = False) -> Explanation:
        """Why a pool row is in or not, or which rows help a target most and least; print it.

        Args:
            name: Id of a pool row, or of a target; positions from 0 unless `columns` named an id.
            target: Whether the id is a target's.

        Raises:
            ArgumentError: No row has this id, or no target.
        """
        return explain(self._insight, name, target=target)

    @cached_property
    def _insight(self) -> Insight:
        removed = guarded(self.guard, self._example)
        return gather(
            self.selection, self.pool, self.targets, self.manifest.to_dict(), self.overview, removed
        )

    def _example(self, row: int) -> Example:
        """One of the user's rows, perhaps of those that were removed."""
        return normalise(self._rows[row], index=row, columns=self._columns)

    def save(
        self,
        directory: str | Path,
        *,
        format: FileFormat = "parquet",  # noqa: A002
        overwrite: bool = False,
    ) -> Path:
        """Write the training set; each file appears whole or not at all.

        `train.*` is what `to_trl` returns, `selection.*` is `dataset`, `removed.jsonl` has a line
        for every row that the guard removed or warned of, `insight/` is what `curate
        report DIR` and `curate explain DIR ROW` read, and `manifest.json` repeats the run: `curate
        select --config DIR/manifest.json`.

        Args:
            directory: Created if need be. The files of this selection are replaced, files that no
                manifest of ours lists never.
            format: "parquet" or "jsonl".
            overwrite: Whether another selection, which the directory holds, may be replaced: all
                of it, with reports.

        Returns:
            The directory.

        Raises:
            OutputError: The directory cannot be written to, or a file of one of these names is
                there that no manifest of ours lists, or the directory holds another selection.
            ArgumentError: `format` is unknown.
        """
        check_format(format)
        directory = user_path(directory, "directory")
        check_same_selection(directory, self.manifest.to_dict(), overwrite=overwrite)
        check_directory(directory, format)
        with locked(directory / LOCK):  # of two at once, the later is there as a whole
            self._save(directory, format, overwrite)
        return directory

    def _save(self, directory: Path, format: FileFormat, overwrite: bool) -> None:  # noqa: A002
        manifest = self.manifest.to_dict()
        check_same_selection(directory, manifest, overwrite=overwrite)
        check_replaceable(directory, format)
        earlier = read_manifest(directory)
        remember(directory, format, manifest)
        digests = {}
        for name, dataset in (("train", self.to_trl()), ("selection", self.dataset)):
            with atomic_file(directory / f"{name}.{format}") as temporary:
                _write(dataset, temporary, format)
                digests[f"{name}.{format}"] = file_digest(temporary)
        with atomic_file(directory / "removed.jsonl") as temporary:
            _write_findings(self.guard, temporary)
            digests["removed.jsonl"] = file_digest(temporary)
        digests |= write_insight(self._insight, directory)
        known = {} if earlier is None else earlier.get(FILES_KEY, {})
        same = earlier is not None and identity(earlier) == identity(manifest)
        # In another format, perhaps: the same rows.
        kept = {n: each for n, each in known.items() if same and (directory / n).is_file()}
        write_sealed(directory / MANIFEST_FILE, {**manifest, FILES_KEY: kept | digests})
        for name in known.keys() - kept.keys() - digests.keys():
            (directory / name).unlink(missing_ok=True)
        for file in reports_of_another(directory, manifest):
            self.report(file)


def check_columns(names: Collection[str], where: str) -> None:
    """Refuse rows with a column of one's own that is named like one which a selection adds.

    Args:
        names: Names of the columns. If all that a selection adds are there, an earlier selection's
            are meant, which are replaced.
        where: What the rows are called.

    Raises:
        ArgumentError: There are some of these columns, and not all.
    """
    found = [name for name in names if name in ADDED]
    if found and not {*found} >= _EVERY_SELECTIONS:
        raise ArgumentError(
            f"{where}: the rows have the column {found[0]!r}, which a selection adds "
            f"({', '.join(ADDED)}); yours would be lost. Rename it."
        )


def _flat(rows: Dataset) -> Dataset:
    """The rows of a view, as a table of their own."""
    table = rows.with_format("arrow")[:]
    return Dataset(InMemoryTable(table), info=DatasetInfo(features=rows.features))


def _write_findings(guard: GuardReport, file: Path) -> None:
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        for warned, found in ((False, guard.removed), (True, guard.warned)):
            for removal in found:
                line = {**asdict(removal), "warned": warned}
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")


def _write(dataset: Dataset, file: Path, format: FileFormat) -> None:  # noqa: A002
    if format == "parquet":
        pq.write_table(dataset.with_format("arrow")[:], file)
        return
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        for row in dataset:
            stream.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
