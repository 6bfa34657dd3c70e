"""Settings of an encoder's training and test, as read from a YAML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

from airrep.errors import ArgumentError
from airrep.schema import Count, Natural, Positive, check_fields
from airrep.training.config import TrainConfig
from eval_harness.benchmark.config import AttributionConfig
from eval_harness.runners.choice import RunnerName
from eval_harness.runners.recipe import Recipe
from eval_harness.runs.splits import SupervisionConfig
from eval_harness.runs.subsets import FEWEST_DRAWN

TeacherKind = Literal["fisher", "adam"]
Kind = Literal["uniform", "few_sources", "selected"]
# Settings that can be paths (see `map_settings`).
PATHS = (
    "model",
    "pool",
    "targets",
    "recorded.index",
    "recorded.losses",
    "encoder.backbone",
    "teacher.encoder",
    "evaluation.pool",
    "evaluation.targets",
    "evaluation.test",
    "evaluation.methods.*.encoder",
)
BUILT_IN = "default"  # as a backbone: the built-in encoder
OWN_METHODS = ("trained", "untrained")
_METHODS: dict[str, dict[str, Any]] = {
    "gradient": {"rank": 32, "damping": 30.0},
    "tfidf": {},
    "rds": {},
    "random": {},
}


@dataclass(frozen=True)
class EncoderConfig:
    """What training starts from (see `airrep.training.starting_point`).

    Attributes:
        backbone: Directory or hub id of a sentence encoder, "default" for the built-in encoder, or
            None for the language model itself.
        token_pooling: How tokens become features; None for the backbone's best.
        max_tokens: Where the encoder cuts a text.
    """

    backbone: str | None = None
    token_pooling: str | None = None
    max_tokens: Annotated[int, Meta(ge=3)] = 512

    def __post_init__(self) -> None:
        check_fields(self, "encoder")


@dataclass(frozen=True)
class TeacherConfig:
    """Gradients of the language model, whose cosines the encoder should follow as well.

    Attributes:
        encoder: Directory or hub id of an encoder, as `curate fit` makes of a model's gradients,
            whose cosines are followed instead; None for gradients made here, as the rest says.
        kind: "fisher" (see `selection.scorers.gradient`) or "adam" (`adam_gradient`, there).
        rank: Rank of each side's projection; with "adam" a layer's sketch has as many features,
            rank².
        damping: Damping of "fisher"; see there.
    """

    encoder: str | None = None
    kind: TeacherKind = "fisher"
    rank: Count = 16
    damping: Positive = 30.0

    def __post_init__(self) -> None:
        check_fields(self, "teacher")


@dataclass(frozen=True)
class RecordedConfig:
    """Runs that are recorded already, in the training layout of AirRep's authors.

    Attributes:
        index: File with a subset on each line, whose rows are those of `pool`.
        losses: Directory with a file of losses for each subset.
        on_bad_row: Rows of `pool` that cannot be read are an "error", or left out of all subsets
            and losses ("skip").
    """

    index: str
    losses: str
    on_bad_row: Literal["error", "skip"] = "error"

    def __post_init__(self) -> None:
        check_fields(self, "recorded")


@dataclass(frozen=True)
class EvaluationConfig:
    """What the encoder never learns from.

    Attributes:
        pool: Rows that the subsets are of; None holds a share of `pool` out.
        targets: Validation examples; None holds a share of `targets` out.
        test: Examples that figures are reported on; None holds a share of `targets` out.
        share: What is held out of a file. Where validation and test examples both come out of
            `targets`, each is half of it.
        attribution: Subsets and examples, as in a benchmark.
        methods: Method to its options (see `eval_harness.benchmark.methods`), to compare with.
    """

    pool: str | None = None
    targets: str | None = None
    test: str | None = None
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.25
    attribution: AttributionConfig = field(default_factory=AttributionConfig)
    methods: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {name: dict(options) for name, options in _METHODS.items()}
    )

    def __post_init__(self) -> None:
        check_fields(self, "evaluation")
        if self.attribution.cheap:
            raise ArgumentError(
                "evaluation.attribution.cheap: cheaper training is compared by `curate benchmark`; "
                "leave it out here."
            )
        for name in OWN_METHODS:
            if name in self.methods:
                raise ArgumentError(
                    f"evaluation.methods: {name!r} is always compared; choose another name."
                )


@dataclass(frozen=True)
class EncoderTrainingConfig:
    """A whole training, from rows to a tested encoder.

    Attributes:
        model: Directory, GGUF file or hub id of the language model whose fine-tuning is to be
            predicted.
        pool: Rows to train on; anything `curate.select` reads.
        targets: Examples whose losses are measured; None with `recorded`.
        columns: Which field is what, in all files; see `curate.select`.
        separator: Between a prompt and a completion of text; nothing by default, as in TRL.
        max_tokens: Where the language model cuts a row.
        recipe: How models are fine-tuned.
        runner: "direct", "stacked", "trl", or "auto": stacked where a small model can be taken
            apart, direct elsewhere.
        stack: Models trained together.
        seed: Seed of every draw.
        supervision: The subsets to learn from.
        use: Kinds of subsets that are learned from; None for all that are drawn.
        encoder: What training starts from.
        training: How the encoder is trained.
        teacher: Gradients to learn from as well; None leaves them out.
        evaluation: What is held out, and what the encoder is compared with.
        recorded: Runs that are there already, and take the place of targets, recipe, runner and
            supervision; None records runs.
    """

    model: str
    pool: str
    targets: str | None = None
    columns: dict[str, str] | None = None
    separator: str = ""
    max_tokens: Count = 1024
    recipe: Recipe = field(default_factory=Recipe)
    runner: RunnerName = "auto"
    stack: Count = 4
    seed: Natural = 0
    supervision: SupervisionConfig = field(default_factory=SupervisionConfig)
    use: list[Kind] | None = None
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
    teacher: TeacherConfig | None = field(default_factory=TeacherConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    recorded: RecordedConfig | None = None

    def __post_init__(self) -> None:
        check_fields(self, "")
        self._check_recorded()
        self._check_use()
        if self.training.start == "teacher" and self.teacher is None:
            raise ArgumentError("training.start is 'teacher', and teacher is null.")

    @property
    def teaches(self) -> TeacherConfig | None:
        """The teacher, if it is started from or its part of the loss has any weight."""
        used = self.training.distil > 0 or self.training.start == "teacher"
        return self.teacher if used else None

    def _check_recorded(self) -> None:
        held = self.evaluation
        given = {
            "targets": self.targets is not None,
            "supervision": self.supervision != SupervisionConfig(),
            "recipe": self.recipe != Recipe(),
            "use": self.use is not None,
            "evaluation.pool": held.pool is not None,
            "evaluation.targets": held.targets is not None,
            "evaluation.test": held.test is not None,
        }
        if self.recorded is None:
            if self.targets is None:
                raise ArgumentError(
                    "targets is missing; name the examples whose losses are to be measured, or "
                    "runs that are recorded already (recorded: {index: …, losses: …})."
                )
            return
        for name in (name for name, is_given in given.items() if is_given):
            raise ArgumentError(
                f"{name} and recorded are both given: nothing is drawn or trained where runs are "
                "recorded already. Leave out one of them."
            )

    def _check_use(self) -> None:
        if self.use is None:
            return
        drawn = self.supervision
        counts = {kind: getattr(drawn, kind) for kind in self.use}
        if drawn.uniform is None and "uniform" in counts:
            counts["uniform"] = FEWEST_DRAWN  # or more, as the rows allow
        for kind, count in counts.items():
            if not count:
                raise ArgumentError(
                    f"use: no {kind} subsets are drawn; set supervision.{kind}, or leave it out."
                )
        if sum(counts.values()) < 2:
            raise ArgumentError(
                "use: an encoder learns from 2 subsets or more per split; found "
                f"{sum(counts.values())} of the kinds {self.use}."
            )
