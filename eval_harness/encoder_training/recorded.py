"""Runs that were recorded elsewhere, in the training layout of AirRep's authors.

The evaluation is held out of the last split of the index: its last subsets, and some of its
measured rows. No loss of these rows, or of a row with the same text, is learned from. They may
still be rows of subsets that are learned from, because all splits are of one file of rows.

Each run is copied once into the training's directory, where `airrep.supervision` keeps runs, so
that an interrupted import goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from airrep.console.progress import Bar, bar
from airrep.console.wording import counted
from airrep.disk.atomic import check_writable
from airrep.disk.digests import file_digest
from airrep.disk.paths import user_path
from airrep.errors import ArgumentError, FileFormatError
from airrep.language_model.model import LanguageModel
from airrep.records import Example, rows_of
from airrep.supervision import (
    Digests,
    Indices,
    SubsetLosses,
    SubsetPlan,
    example_digests,
    run_file,
    write_run,
)
from eval_harness.benchmark.attribution import Attribution
from eval_harness.benchmark.config import AttributionSizes
from eval_harness.encoder_training.config import EncoderTrainingConfig, RecordedConfig
from eval_harness.encoder_training.rows import TrainingRows, settled
from eval_harness.runs.airrep_files import IndexedSplit, losses_file, read_index, read_losses_file
from eval_harness.runs.splits import Split


@dataclass(frozen=True, eq=False)
class _Part:
    """Some subsets of a split of the index, measured on some of its rows."""

    ids: list[str]  # of the subsets
    count: int  # rows of the split's `dev`
    columns: Indices  # of these, the ones that are taken
    pool: list[Example]
    evaluation: list[Example]
    plan: SubsetPlan

    def load(
        self, losses: Path, directory: Path, made_by: Mapping[str, Any], shown: Bar
    ) -> SubsetLosses:
        """Copy the runs that are not there yet, and load all."""
        check_writable(directory / "runs")
        self.plan.save(directory)
        for number, name in enumerate(self.ids):
            file = run_file(directory, number, 0)
            if not file.exists():
                found = read_losses_file(losses_file(losses, name), name, self.count)
                facts = {"subset": number, "repeat": 0, "seed": 0, "seconds": 0.0}
                write_run(file, self.plan, found[self.columns], {"provenance": made_by, **facts})
            shown.advance()
        return SubsetLosses.load(directory, model=made_by["model"])


@dataclass(eq=False)
class RecordedRuns:
    """The same as `DrawnRuns`, of runs that are there already."""

    rows: TrainingRows
    evaluation: Attribution
    config: EncoderTrainingConfig
    _files: RecordedConfig
    _learned: list[_Part]
    _tested: _Part
    note: str = field(default="", init=False)
    _made_by: dict[str, Any] = field(init=False)

    @property
    def splits(self) -> list[Split]:
        """What is learned from."""
        return [Split(part.pool, part.evaluation, part.plan) for part in self._learned]

    @classmethod
    def read(
        cls,
        pool: Sequence[Example],
        config: EncoderTrainingConfig,
        directory: Path,
        file_rows: int | None = None,
    ) -> RecordedRuns:
        """Read the index, and hold the evaluation out.

        Args:
            pool: The usable rows of the file that the index counts.
            config: Its `recorded` names the files; `evaluation.attribution` and `seed` say what is
                held out.
            directory: Directory of the whole training.
            file_rows: How many rows the file has; default all are usable.

        Raises:
            ArgumentError: Too few subsets or measured rows for the evaluation, or to learn from.
            MissingInputError: The index is not there.
            FileFormatError: It cannot be read, or does not fit the rows.
        """
        assert config.recorded is not None
        corpus = _Corpus(pool, len(pool) if file_rows is None else file_rows)
        file = user_path(config.recorded.index, "recorded.index")
        index = read_index(file, len(corpus.places))
        last = index[-1]
        attribution = config.evaluation.attribution
        sizes = attribution.sizes(len(pool), len(last.dev), len(last.dev))
        kept, tested, roles = _hold_out(last, corpus, sizes, config.seed)
        held = np.concatenate([roles["validation"], roles["test"]])  # columns of the last split
        unseen = {corpus.digests[i].tobytes() for i in corpus.places[last.dev[held]].tolist()}
        learned = []
        for split in index:
            subsets = kept if split is last else range(len(split.subsets))
            columns = corpus.measured(split, unseen)
            if len(subsets) > 1 and len(columns):
                all_of_it = {"train": np.arange(len(columns))}
                learned.append(_part(split, corpus, subsets, columns, all_of_it, file))
        if not learned:
            raise ArgumentError(
                "recorded: nothing is left to learn from: no split has 2 subsets and a measured "
                "row beside what is held out; lower evaluation.attribution.validation_subsets, "
                "subsets, validation and targets."
            )
        places = np.arange(len(held))
        middle = len(roles["validation"])
        named = {"validation": places[:middle], "test": places[middle:]}
        test = _part(last, corpus, tested, held, named, file)
        evaluation = Attribution(
            attribution, sizes, test.plan, test.pool, test.evaluation, directory / "evaluation"
        )
        rows = TrainingRows(
            _different(part.pool for part in learned),
            _different(part.evaluation for part in learned),
            test.pool,
            test.evaluation[:middle],
            test.evaluation[middle:],
        )
        numbers = settled(config, len(pool), sizes)
        return cls(rows, evaluation, numbers, config.recorded, learned, test)

    def bind(self, model: LanguageModel) -> dict[str, Any]:
        """Take the runs for those of a model; returns what the directory is bound to by it."""
        self._made_by = {
            "model": model.fingerprint,
            "runner": "recorded",
            "stack": 1,
            "precision": "not known",
        }
        return self._made_by | {"index": file_digest(user_path(self._files.index, "index"))}

    def measure(
        self, directory: Path, *, progress: bool
    ) -> tuple[list[SubsetLosses], SubsetLosses]:
        """The losses of every split, and of the evaluation."""
        total = sum(len(part.ids) for part in (*self._learned, self._tested))
        given = user_path(self._files.losses, "recorded.losses")
        with bar(total, "recorded runs", "run", shown=progress) as shown:
            learned = [
                part.load(given, directory / f"split-{i}", self._made_by, shown)
                for i, part in enumerate(self._learned)
            ]
            place = self.evaluation.directory / "runs-recorded"
            return learned, self._tested.load(given, place, self._made_by, shown)


class _Corpus:
    """The rows that an index counts: those that can be used, and where they are among all."""

    def __init__(self, examples: Sequence[Example], rows: int) -> None:
        self.examples = examples
        self.places = np.full(rows, -1, dtype=np.int64)  # of each row, its example
        self.places[rows_of(examples)] = np.arange(len(examples))
        self.digests: Digests = example_digests(examples)

    def take(self, positions: Indices) -> list[Example]:
        """The examples at some positions."""
        return [self.examples[i] for i in positions.tolist()]

    def measured(self, split: IndexedSplit, without: Collection[bytes] = ()) -> Indices:
        """Positions in a split's `dev` of the usable rows, without those of some digests."""
        places = self.places[split.dev].tolist()
        kept = (i >= 0 and self.digests[i].tobytes() not in without for i in places)
        return np.flatnonzero(np.fromiter(kept, dtype=bool, count=len(places)))


def _hold_out(
    split: IndexedSplit, corpus: _Corpus, asked: AttributionSizes, seed: int
) -> tuple[Sequence[int], Sequence[int], dict[str, Indices]]:
    """Subsets to learn from, subsets that are held out, and positions in `dev` by role."""
    usable = corpus.measured(split)
    for one, other, found, what in (
        ("validation_subsets", "subsets", len(split.subsets), "subset"),
        ("validation", "targets", len(usable), "measured row"),
    ):
        wanted = getattr(asked, one) + getattr(asked, other)
        if wanted > found:
            raise ArgumentError(
                f"evaluation.attribution: {one} and {other} are {wanted:,} together, but the last "
                f"split of the index (dev_id {split.dev_id!r}) has {counted(found, what)}; ask for "
                "fewer."
            )
    order = np.random.default_rng([seed, 5]).permutation(usable)
    last = asked.validation + asked.targets
    roles = {
        "validation": np.sort(order[: asked.validation]),
        "test": np.sort(order[asked.validation : last]),
    }
    numbers = range(len(split.subsets))
    held = asked.validation_subsets + asked.subsets
    return numbers[:-held], numbers[-held:], roles


def _part(
    split: IndexedSplit,
    corpus: _Corpus,
    subsets: Sequence[int],
    columns: Indices,
    roles: Mapping[str, Indices],
    file: Path,
) -> _Part:
    """Some subsets of a split, measured on the rows at some positions in its `dev`."""
    found = [corpus.places[split.subsets[i]] for i in subsets]
    members = [rows[rows >= 0] for rows in found]
    for number, rows in zip(subsets, members, strict=True):
        if not len(rows):
            problem = f"no row of the subset {split.ids[number]!r} can be read"
            raise FileFormatError(problem, where=file)
    pool = np.unique(np.concatenate(members))
    measured = corpus.places[split.dev[columns]]
    plan = SubsetPlan(
        [np.searchsorted(pool, rows) for rows in members],
        ["recorded"] * len(members),
        1,
        0,
        roles,
        corpus.digests[pool],
        corpus.digests[measured],
    )
    ids = [split.ids[i] for i in subsets]
    return _Part(ids, len(split.dev), columns, corpus.take(pool), corpus.take(measured), plan)


def _different(parts: Iterable[Sequence[Example]]) -> list[Example]:
    """The examples of all parts, each once, by their rows."""
    found = {example.row: example for part in parts for example in part}
    return [found[row] for row in sorted(found)]
