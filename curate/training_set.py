"""The result of `curate.select`: the chosen rows, why each is in, and how to repeat the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from huggingface_hub import DatasetCard
from pandas import option_context

from airrep.console.wording import counted
from airrep.disk.atomic import atomic_file
from airrep.disk.digests import file_digest
from airrep.disk.locks import locked
from airrep.disk.paths import user_path
from airrep.disk.sealed import write_sealed
from airrep.errors import ArgumentError
from airrep.records import Example
from curate.guard import GuardReport
from curate.manifest.arguments import columns_of
from curate.manifest.provenance import FILES_KEY, MANIFEST_FILE, Manifest, identity
from curate.report import (
    Explanation,
    Insight,
    TokenExplanation,
    explain,
    gather,
    guarded,
    read_insight,
    write_insight,
)
from curate.report.kept.insight import RowText
from curate.report.seal import reports_of_another
from curate.rows.bad_rows import SkippedRow
from curate.rows.collection import Rows
from curate.selected_rows import read_selected, read_skipped, with_reasons, without_reasons
from curate.stages.destination import (
    LOCK,
    REMOVED,
    SKIPPED,
    check_directory,
    check_format,
    check_replaceable,
    check_same_selection,
    read_manifest,
    remember,
)
from curate.stages.inputs import Inputs
from curate.stages.pool_guard import Kept
from curate.stages.token_influence import check_asked, explain_tokens
from curate.summary import dataset_card, summarize
from curate.writing.file_format import FileFormat, ending_of, is_of_trainer
from curate.writing.for_trl import for_trl
from curate.writing.formats import in_format
from curate.writing.row_files import write_lines, write_rows
from selection.overview import ScoreOverview
from selection.result import Selection

if TYPE_CHECKING:
    import pandas as pd

    from airrep.language_model.model import LanguageModel

_SHOWN, _SHOWN_WIDTH = 5, 80  # rows, and characters of a cell, in a notebook


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Chosen rows, best first.

    Attributes:
        dataset: The user's rows, untouched, in order of rank, with columns that say why each is in:
            `curate_rank` (from 0), `curate_row` (position in the pool, from 0), `curate_target` (id
            of the target that earned the row), `curate_score` (the row's score for that target),
            `curate_gain` (by how much the row improved the selector's objective when it was
            chosen, below 0 where it made it worse), `curate_objective` (the objective's value after
            that; like the gain empty where the selector has none), `curate_layer` (from 0). Those
            of an earlier selection, from which this one was made, are replaced; other columns of
            yours never are.
        insight: What is known of the pool rows that could be chosen (those that could be read and
            that the guard did not remove), of the targets and of the scores.
        guard: Leaks and near-duplicates that were found, and what was done about them.
        manifest: Provenance; enough to repeat the run.
        skipped: Pool rows that could not be read, with `on_bad_row="skip"`.
        rows: The pool rows that could be chosen; None of a training set that was loaded.
        asked: The targets, their texts whole; None of a training set that was loaded.

    Example:
        >>> import curate
        >>> pool, targets = curate.demo_pool(60), curate.demo_targets("email_reply", 2)
        >>> chosen = curate.select(pool, targets, k=5, scorer="tfidf")
        >>> len(chosen), chosen[0]["curate_rank"], len(chosen.to_trl())
        (5, 0, 5)
    """

    dataset: Dataset = field(repr=False)
    insight: Insight = field(repr=False)
    guard: GuardReport = field(repr=False)
    manifest: Manifest = field(repr=False)
    skipped: Sequence[SkippedRow] = field(default=(), repr=False)
    rows: Sequence[Example] | None = field(default=None, repr=False)
    asked: Sequence[Example] | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        selection: Selection,
        inputs: Inputs,
        kept: Kept,
        manifest: Manifest,
        seen: ScoreOverview,
    ) -> TrainingSet:
        """The training set of a selection.

        Args:
            selection: Positions, gains and scores; positions count `kept.rows`.
            inputs: What was read.
            kept: The pool rows that could be chosen.
            manifest: Provenance.
            seen: What the scores say, as far as reports and explanations need it.
        """
        rows = inputs.pool.rows.dataset
        removed = guarded(kept.report, inputs.pool.example_at)
        insight = gather(selection, kept.rows, inputs.targets, manifest.to_dict(), seen, removed)
        dataset = with_reasons(rows, insight)
        found = (dataset, insight, kept.report, manifest, inputs.pool.skipped)
        return cls(*found, kept.rows, inputs.targets)

    @classmethod
    def load(cls, directory: str | Path) -> TrainingSet:
        """Read what `save` wrote; the pool is not needed.

        The result can be used like the training set that was saved, with one exception: its
        `guard` lists the rows that were removed, but not the clusters of near-duplicates.

        Args:
            directory: That `save` or `curate select --output` wrote.

        Raises:
            MissingInputError: The directory holds no selection, or a part of it is missing.
            FileFormatError: A file is damaged, or belongs to another selection.
        """
        directory = user_path(directory, "directory")
        insight = read_insight(directory)
        manifest = Manifest.from_dict(insight.manifest)
        rows = read_selected(directory, insight)
        skipped = read_skipped(directory)
        return cls(rows, insight, _guard_report(insight, manifest), manifest, skipped)

    @property
    def pool(self) -> Sequence[Example]:
        """The pool rows that could be chosen, which the selection's indices count.

        Raises:
            ArgumentError: The training set was loaded from its files, which do not hold the pool.
        """
        if self.rows is None:
            raise ArgumentError("a training set that was loaded does not hold its pool.")
        return self.rows

    @property
    def targets(self) -> Sequence[RowText]:
        """The targets, their texts cut where they are long."""
        return self.insight.targets

    @property
    def selection(self) -> Selection:
        """Positions among `insight.ids`, gains and scores, as the selector returned them."""
        return self.insight.selection

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
            f"TrainingSet({counted(len(self), 'row')} of {len(self.insight.ids):,} for "
            f"{counted(len(self.insight.targets), 'target')}, by {chosen['selector']} of "
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

    def to_trl(self, *, everything: bool = False) -> Dataset:
        """The chosen rows in exactly one layout that TRL's trainers read (docs/rows.md).

        `messages` for conversations, `text` for plain text, `prompt` and `completion` for pairs,
        `chosen` and `rejected` for preferences; and `tools`, `chat_template_kwargs`, `images` and
        `label` where the rows have them. What is in such a layout already is passed on as it is.

        Args:
            everything: Whether your other columns are kept as well, which a trainer may take for
                something else; reward functions of GRPO read them.

        Raises:
            ArgumentError: The rows are of several layouts, which no trainer reads together.
        """
        return for_trl(
            without_reasons(self.dataset),
            columns_of(self.manifest.arguments),
            everything=everything,
        )

    def summary(self) -> str:
        """What was read, what was chosen, from which sources, for which targets, in what time."""
        return summarize(self.insight, self.guard, self.manifest)

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

        return write_report(self.insight, path)

    def explain(
        self,
        name: str | int,
        *,
        target: bool = False,
        tokens: bool = False,
        model: str | Path | LanguageModel | None = None,
        for_target: str | int | None = None,
        progress: bool = False,
    ) -> Explanation | TokenExplanation:
        """Why a pool row is in or not, or which rows help a target most and least; print it.

        With `tokens`, which tokens of the row's completion speak for a target and which against
        it: its influence, for a step of Adam's metric on the target, divided over its tokens
        (docs/report.md).

        Args:
            name: Id of a pool row, or of a target; positions from 0 unless `columns` named an id.
            target: Whether the id is a target's.
            tokens: Whether the row's influence is divided over its tokens.
            model: For tokens: directory or hub id of the model that is fine-tuned, or the model.
            for_target: For tokens: id of the target; default the one that earned the row, or, of a
                row that is not in, the one that it helps most.
            progress: For tokens: show a progress bar.

        Raises:
            ArgumentError: No row has this id, or no target; for tokens, the row or the target has
                no text or no influence to look at.
        """
        check_asked(target=target, tokens=tokens, model=model, for_target=for_target)
        if not tokens or model is None:
            return explain(self.insight, name, target=target)
        rows = Rows(without_reasons(self.dataset), "the selection")
        return explain_tokens(
            self.insight,
            name,
            for_target,
            model,
            chosen=rows.examples(columns_of(self.manifest.arguments)).examples,
            pool=self.rows,
            targets=self.asked,
            progress=progress,
        )

    def save(
        self,
        directory: str | Path,
        *,
        format: FileFormat = "parquet",  # noqa: A002
        overwrite: bool = False,
    ) -> Path:
        """Write the training set; each file appears whole or not at all.

        `train.*` is what `to_trl` returns, or the same in the format of another trainer
        (docs/rows.md), `selection.*` is `dataset`, `removed.jsonl` has a line
        for every row that the guard removed or warned of, `skipped.jsonl` one for every pool row
        that could not be read, `insight/` is what `curate
        report DIR` and `curate explain DIR ROW` read, and `manifest.json` repeats the run: `curate
        select --config DIR/manifest.json`.

        Args:
            directory: Created if need be. The files of this selection are replaced, files that no
                manifest of ours lists never.
            format: "parquet" or "jsonl"; or the format of `train.jsonl`: "openai", "sharegpt" or
                "alpaca".
            overwrite: Whether another selection, which the directory holds, may be replaced: all
                of it, with reports.

        Returns:
            The directory.

        Raises:
            OutputError: The directory cannot be written to, or a file of one of these names is
                there that no manifest of ours lists, or the directory holds another selection.
            ArgumentError: `format` is unknown.
            RecordError: The format cannot express a row.
        """
        check_format(format)
        directory = user_path(directory, "directory")
        check_same_selection(directory, self.manifest.to_dict(), overwrite=overwrite)
        check_directory(directory, ending_of(format))
        with locked(directory / LOCK):  # of two at once, the later is there as a whole
            self._save(directory, format, overwrite)
        return directory

    def _save(self, directory: Path, format: FileFormat, overwrite: bool) -> None:  # noqa: A002
        manifest = self.manifest.to_dict()
        check_same_selection(directory, manifest, overwrite=overwrite)
        ending = ending_of(format)
        check_replaceable(directory, ending)
        train, selection = f"train.{ending}", f"selection.{ending}"
        tables, lines = {selection: self.dataset}, {REMOVED: _findings(self.guard)}
        if is_of_trainer(format):
            rows = Rows(without_reasons(self.dataset), "the selection")
            examples = rows.examples(columns_of(self.manifest.arguments)).examples
            lines[train] = iter([*in_format(rows, examples, format)])
        else:
            tables[train] = self.to_trl()
        earlier = read_manifest(directory)
        remember(directory, ending, manifest)
        digests = {}
        for name, dataset in tables.items():
            with atomic_file(directory / name) as temporary:
                write_rows(dataset, temporary, ending)
                digests[name] = file_digest(temporary)
        if self.skipped:
            lines[SKIPPED] = map(asdict, self.skipped)
        for name, written in lines.items():
            with atomic_file(directory / name) as temporary:
                write_lines(written, temporary)
                digests[name] = file_digest(temporary)
        digests |= write_insight(self.insight, directory)
        known = {} if earlier is None else earlier.get(FILES_KEY, {})
        same = earlier is not None and identity(earlier) == identity(manifest)
        # In another format, perhaps: the same rows.
        kept = {n: each for n, each in known.items() if same and (directory / n).is_file()}
        write_sealed(directory / MANIFEST_FILE, {**manifest, FILES_KEY: kept | digests})
        for name in known.keys() - kept.keys() - digests.keys():
            (directory / name).unlink(missing_ok=True)
        for file in reports_of_another(directory, manifest):
            self.report(file)


def _guard_report(insight: Insight, manifest: Manifest) -> GuardReport:
    """What the guard did, as far as it was saved."""
    asked = manifest.arguments
    found = {
        warned: tuple(each.removal for each in insight.removed if each.warned is warned)
        for warned in (False, True)
    }
    return GuardReport(
        asked.get("leakage", "remove"),
        asked.get("duplicates", "first"),
        manifest.guard.get("rows", len(insight.ids)),
        removed=found[False],
        warned=found[True],
        seconds=manifest.seconds.get("guard", 0.0),
    )


def _findings(guard: GuardReport) -> Iterator[dict[str, Any]]:
    for warned, found in ((False, guard.removed), (True, guard.warned)):
        yield from ({**asdict(removal), "warned": warned} for removal in found)
