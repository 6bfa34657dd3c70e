"""An encoder from start to end: runs, training, evaluation, model card; every stage resumes.

DIR/
  config.json, inputs.json   what the directory belongs to
  split-0 …                  plan and runs of each split (see `airrep.supervision`)
  evaluation/                plan and runs, scores, the tables' rows (see `AttributionReport`)
  training/, encoder/        see `eval_harness.encoder_training.learning`
  results.md                 what is printed
  encoder/README.md          the model card
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from airrep.console.progress import announce
from airrep.console.wording import counted
from airrep.disk.atomic import check_writable
from airrep.disk.paths import user_path
from airrep.disk.temporary import is_temporary
from airrep.errors import ArgumentError
from airrep.language_model.model import LanguageModel
from airrep.machine.processes import processes
from airrep.pooling import GroupPooling
from airrep.records import Example
from airrep.supervision import SubsetLosses
from eval_harness.benchmark.attribution import Attribution, AttributionReport, report_attribution
from eval_harness.benchmark.methods import Method, ScoreFiles, make_method
from eval_harness.benchmark.problems import Rows
from eval_harness.encoder_training.card import model_card
from eval_harness.encoder_training.config import OWN_METHODS, EncoderTrainingConfig
from eval_harness.encoder_training.drawn import DrawnRuns
from eval_harness.encoder_training.learning import check_teacher, learn, start
from eval_harness.encoder_training.recorded import RecordedRuns
from eval_harness.encoder_training.sections import Facts, results_markdown
from eval_harness.files.outputs import (
    check_kept,
    check_own,
    claim,
    write_checksums,
    write_text,
    written_alone,
)
from eval_harness.measures.datamodeling import lds_of_predictions

_CHECKPOINTS = ("encoder/", "training/untrained/")


@dataclass(frozen=True, eq=False)
class TrainedEncoder:
    """A trained encoder, and how good it is.

    Attributes:
        directory: The checkpoint, for `curate.select(..., encoder=directory)`.
        attribution: A row per method: LDS with interval on the test part, cost.
        history: Step, loss and LDS of every validation during training.
        markdown: All tables.
    """

    directory: Path
    attribution: list[dict[str, Any]] = field(repr=False)
    history: list[dict[str, Any]] = field(repr=False)
    markdown: str = field(repr=False)

    def __str__(self) -> str:
        return self.markdown


def train_and_test(
    config: EncoderTrainingConfig,
    files: Mapping[str, Sequence[Example]],
    directory: str | Path,
    *,
    pool_rows: int | None = None,
    progress: bool = False,
) -> TrainedEncoder:
    """Record runs, train an encoder on them, and test it on what was held out.

    Finished runs are kept, so a killed command goes on, and several processes can work on one
    directory. A directory belongs to one config, its rows, its model and the precision of its
    machine.

    Args:
        config: How; see `EncoderTrainingConfig`.
        files: The rows of "pool" and "targets", and of "evaluation.pool", "evaluation.targets" and
            "evaluation.test" where the config names files for them.
        directory: For everything that is written.
        pool_rows: How many rows the pool's file has, if some cannot be used (with recorded runs,
            whose index counts all); default all can.
        progress: Show progress bars on standard error.

    Raises:
        ArgumentError: A row is in two of the files, the rows do not allow what is asked, or a
            launcher started several processes.
        OutputError: The directory holds another training, or files of one's own that results
            would replace.
        CurateError: Another of its kinds; see the stages.
    """
    if processes() > 1:
        raise ArgumentError(
            "this does not run under accelerate or torchrun; start the same command several times "
            "(with CUDA_VISIBLE_DEVICES=0, 1 …), and the processes share the runs."
        )
    directory = user_path(directory, "output")
    check_own(directory, ["results.md", "evaluation/attribution.*", "training", "encoder"])
    check_writable(directory)
    runs: DrawnRuns | RecordedRuns
    if config.recorded is None:
        runs = DrawnRuns.draw(files, config, directory, progress=progress)
    else:
        runs = RecordedRuns.read(files["pool"], config, directory, pool_rows)
    splits, evaluation, config = runs.splits, runs.evaluation, runs.config
    model = LanguageModel.from_pretrained(
        config.model, separator=config.separator, max_tokens=config.max_tokens
    )
    bound = runs.bind(model)
    methods = [
        make_method(name, options, model, progress=progress)
        for name, options in config.evaluation.methods.items()
    ]
    if config.teaches is not None:
        check_teacher(config.teaches, model, config.training)
    start(config)  # as above, to refuse now what would fail after hours of runs
    claim(directory / "config.json", asdict(config), "training")
    digests = {name: Rows(each, [""] * len(each)).digest for name, each in files.items()}
    claim(directory / "inputs.json", {**digests, **bound}, "training")

    plans = [*(split.plan for split in splits), evaluation.plan]
    announce(
        "train",
        counted(sum(len(plan.runs) for plan in plans), "run"),
        f"then up to {counted(config.training.steps, 'step')} of the encoder",
        shown=progress,
    )
    losses, measured = runs.measure(directory, progress=progress)
    learned = learn(
        config, model, splits, losses, evaluation, measured, directory, progress=progress
    )
    check_kept(
        directory,
        _CHECKPOINTS,
        "delete the checkpoint's folder and training/learned.json, and the same command makes it "
        "anew",
    )
    pooling = config.training.pooling
    report, as_saved = _test(model, methods, evaluation, measured, directory, pooling)
    facts = Facts(config, runs.rows, losses, measured, learned, as_saved, report, runs.note)
    markdown = results_markdown(facts)
    with written_alone(directory):
        report.write(evaluation.directory)
        write_text(markdown, directory / "results.md")
        card = directory / "encoder" / "README.md"
        check_writable(card.parent)
        if not card.exists():  # it may have been edited since
            write_text(model_card(facts), card)
        write_checksums(directory, _results(directory), kept=_CHECKPOINTS)
    return TrainedEncoder(directory / "encoder", report.rows, learned.history, markdown)


def _results(directory: Path) -> list[Path]:
    """Everything that has no digest of its own, but for the card, which is the user's to edit."""
    checkpoints = [directory / "encoder", directory / "training" / "untrained"]
    written = [file for place in checkpoints for file in sorted(place.rglob("*"))]
    card = directory / "encoder" / "README.md"
    return [
        directory / "results.md",
        *sorted((directory / "evaluation").glob("attribution.*")),
        *(f for f in written if f != card and not any(map(is_temporary, f.parents))),
    ]


def _test(
    model: LanguageModel,
    methods: Sequence[Method],
    evaluation: Attribution,
    measured: SubsetLosses,
    directory: Path,
    pooling: GroupPooling,
) -> tuple[AttributionReport, float]:
    """The report of all methods, and the checkpoint's LDS on validation, pooled as in training."""
    places = (directory / "encoder", directory / "training" / "untrained")
    own = [
        make_method(name, {"kind": "airrep", "encoder": str(place)}, model)
        for name, place in zip(OWN_METHODS, places, strict=True)
    ]
    files = ScoreFiles(evaluation.directory / "scores")
    report = report_attribution(evaluation, measured, [*own, *methods], files, against=own[0].name)
    scores, _ = files.get(own[0], evaluation.evaluation, evaluation.pool)
    guess = evaluation.predictions(scores, "validation", pooling, scores.scale)
    truth = evaluation.losses(measured, "validation")
    return report, lds_of_predictions(guess, truth, draws=0).mean
