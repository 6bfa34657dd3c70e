"""The stage that makes the encoder: from recorded runs to a checkpoint, once for all processes.

    DIR/training/
      teacher.npy, .json        gradients' directions, if there is a teacher; seconds they took
      training.json, .safetensors   the run's state (see `airrep.training.state`)
      untrained/                the encoder with whitened features, which has learned nothing
      learned.json              what came out: `Learned`
    DIR/encoder/                the checkpoint

Checkpoints are in float16, like the built-in one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.disk.atomic import check_writable
from airrep.disk.locks import locked
from airrep.disk.parts import discard, kept_in
from airrep.disk.sealed import read_sealed, write_sealed
from airrep.encoder import DEFAULT_CHECKPOINT, AirRep
from airrep.errors import ArgumentError
from airrep.language_model.model import LanguageModel
from airrep.records import Example
from airrep.supervision import SubsetLosses
from airrep.training.config import TrainConfig
from airrep.training.copies import save_narrow
from airrep.training.loop import check_trainable, train_encoder
from airrep.training.objective import influence_labels
from airrep.training.rows import Supervision, Teacher, Validation
from airrep.training.source_share import share_labels
from airrep.training.starting_point import starting_point
from eval_harness.benchmark.attribution import Attribution
from eval_harness.encoder_training.config import BUILT_IN, EncoderTrainingConfig, TeacherConfig
from eval_harness.encoder_training.rows import used_subsets
from eval_harness.files.array_file import read_array, write_array
from eval_harness.measures.datamodeling import lds_of_predictions
from eval_harness.runs.splits import Split
from selection.scorers.adam_gradient import AdamGradientScorer
from selection.scorers.gradient import GradientScorer, unit, whiten


@dataclass(frozen=True)
class Learned:
    """What the stage found."""

    history: list[dict[str, Any]]  # step, loss since the validation before, LDS of each validation
    best: int  # the step that the encoder is of
    rows: int  # different texts learned from
    seconds: float | None  # that the training took; None if it was interrupted
    teacher_seconds: float | None  # that the teacher's gradients took; None without a teacher
    precision: str  # of the checkpoint's weights


def start(config: EncoderTrainingConfig) -> AirRep:
    """What training starts from.

    Raises:
        ArgumentError: More dimensions than it has features, or it cannot be trained so.
        CurateError: It cannot be loaded; see `starting_point`.
    """
    chosen = config.encoder
    backbone: str | Path = config.model if chosen.backbone is None else chosen.backbone
    encoder = starting_point(
        DEFAULT_CHECKPOINT if backbone == BUILT_IN else backbone,
        token_pooling=chosen.token_pooling,
        separator=config.separator,
        max_tokens=chosen.max_tokens,
    )
    features = sum(encoder.model.feature_blocks)
    if config.training.dim > features:
        raise ArgumentError(
            f"training.dim is {config.training.dim}; the encoder has {features} features per text."
        )
    check_trainable(encoder, config.training)
    return encoder


def check_teacher(config: TeacherConfig, model: LanguageModel, training: TrainConfig) -> None:
    """Refuse a teacher that cannot teach.

    Raises:
        ArgumentError: Training starts from its vectors, which have fewer numbers than embeddings.
        CurateError: The encoder cannot be loaded (see `AirRep.from_pretrained`), or the language
            model has no gradients that can be projected so (see `GradientScorer`).
    """
    if config.encoder is not None:
        numbers = AirRep.from_pretrained(config.encoder).dim
    else:
        numbers = GradientScorer(model, rank=config.rank, damping=config.damping).dim
    if training.start == "teacher" and training.dim > numbers:
        raise ArgumentError(
            f"training.dim is {training.dim}; the teacher's vectors, from which training starts, "
            f"have {counted(numbers, 'number')}. Lower training.dim, or set training.start to "
            "'whitened'."
        )


def learn(
    config: EncoderTrainingConfig,
    model: LanguageModel,
    splits: Sequence[Split],
    losses: Sequence[SubsetLosses],
    evaluation: Attribution,
    measured: SubsetLosses,
    directory: Path,
    *,
    progress: bool,
) -> Learned:
    """Train the encoder, or find it trained.

    Args:
        config: How.
        model: The language model, for the teacher.
        splits: What is learned from.
        losses: Losses of each split.
        evaluation: Its validation part decides when to stop.
        measured: Its runs.
        directory: Directory of the whole training.
        progress: Show progress bars on standard error.
    """
    place = directory / "training"
    check_writable(place)
    with locked(place / ".lock"):
        record = place / "learned.json"
        if not (record.exists() and (directory / "encoder" / "config.json").exists()):
            teacher, teacher_seconds = None, None
            if config.teaches is not None:
                every = (e for split in splits for e in (*split.pool, *split.evaluation))
                examples = list({id(e): e for e in every}.values())  # splits may share rows
                file = place / "teacher.npy"
                teacher, teacher_seconds = _teacher(
                    config.teaches, model, examples, file, progress=progress
                )
            supervision = []
            for split, recorded in zip(splits, losses, strict=True):
                used = used_subsets(split.plan, config.use)
                subsets, values = [split.plan.subsets[i] for i in used], recorded.values[used]
                supervision.append(Supervision(split.pool, split.evaluation, subsets, values))
            validation = _validation(evaluation, measured, config.training.source_share)
            resumed = (place / "training.safetensors").exists()
            began = time.perf_counter()
            trained = train_encoder(
                start(config),
                supervision,
                config.training,
                place,
                validation=validation,
                teacher=teacher,
                progress=progress,
                on_start=lambda untrained: _save_once(untrained, place / "untrained"),
            )
            seconds = None if resumed else time.perf_counter() - began
            precision = save_narrow(trained.encoder, directory / "encoder")
            history = [asdict(validated) for validated in trained.history]
            found = Learned(
                history, trained.best, trained.rows, seconds, teacher_seconds, precision
            )
            write_sealed(record, asdict(found))
    known = read_sealed(record, "delete it, and the same command trains on")
    return Learned(**{field.name: known[field.name] for field in fields(Learned)})


def _validation(evaluation: Attribution, measured: SubsetLosses, source_share: float) -> Validation:
    """What decides when to stop: how well that is foreseen which is learned, shared likewise."""
    positions, subsets = evaluation.part("validation")
    truth = evaluation.losses(measured, "validation")
    if source_share:
        sources = [evaluation.evaluation[i].source for i in positions.tolist()]
        labels = share_labels(influence_labels(truth), sources, source_share)
        truth = -labels[:, None].astype(np.float64)

    def lds(predicted: npt.NDArray[np.float32]) -> float:
        return lds_of_predictions(predicted, truth, draws=0).mean

    examples = [evaluation.evaluation[i] for i in positions.tolist()]
    return Validation(evaluation.pool, examples, evaluation.plan.subsets[subsets], lds)


def _teacher(
    config: TeacherConfig,
    model: LanguageModel,
    examples: Sequence[Example],
    file: Path,
    *,
    progress: bool,
) -> tuple[Teacher, float]:
    """The teacher, and the seconds it took when it was made."""
    if not file.exists():
        began = time.perf_counter()
        with kept_in(file.parent, file.stem):
            vectors = _directions(config, model, examples, progress=progress)
        write_array(file, vectors, {"seconds": time.perf_counter() - began})
        discard(file.parent, file.stem)
    vectors, facts = read_array(file)
    pointing = np.flatnonzero(vectors.any(axis=1))  # an example may have no gradient at all
    if len(pointing) < len(examples):
        examples, vectors = [examples[i] for i in pointing.tolist()], vectors[pointing]
    return Teacher(examples, vectors), float(facts["seconds"])


def _directions(
    config: TeacherConfig, model: LanguageModel, examples: Sequence[Example], *, progress: bool
) -> npt.NDArray[np.float32]:
    """Of each example, a vector of length 1 along its gradient; 0 if it has none."""
    if config.encoder is not None:
        return unit(AirRep.from_pretrained(config.encoder).encode(examples, progress=progress))
    if config.kind == "adam":
        adam = AdamGradientScorer(model, width=config.rank**2, progress=progress)
        return adam.vectors(examples)
    scorer = GradientScorer(model, rank=config.rank, damping=config.damping)
    gradients = scorer.features(examples, progress=progress)
    widths = [layer.width for layer in scorer.blocks]
    return unit(whiten(gradients[:0], gradients, widths, config.damping)[1])


def _save_once(encoder: AirRep, directory: Path) -> None:
    """Write the encoder, unless a killed run already did."""
    if not (directory / "config.json").exists():
        save_narrow(encoder, directory)
