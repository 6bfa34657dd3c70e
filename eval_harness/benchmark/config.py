"""Settings of a benchmark, as read from a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta

from airrep.errors import ArgumentError
from airrep.schema import Count, Finite, Natural, Positive, check_fields
from eval_harness.files.settings import read_settings
from eval_harness.runners.choice import RunnerName
from eval_harness.runners.recipe import Recipe, Trainable
from eval_harness.runs.subsets import default_size, default_subsets
from selection.selectors.base import AUTO

Setting = Literal["present", "removed", "wrong_labels", "templates_held_out"]
SETTINGS: tuple[str, ...] = get_args(Setting)
Budget = Count | Literal["auto"]
Subsets = Annotated[int, Meta(ge=3)]  # LDS ranks them
_SUBSETS, _EXAMPLES = 100, 200


@dataclass(frozen=True)
class AttributionConfig:
    """The LDS part: random subsets, and how well scores predict their effect.

    Attributes:
        subsets: Subsets that figures are reported on, 3 or more; default 100, or fewer where few
            rows are there to draw from (`eval_harness.runs.subsets.default_subsets`).
        validation_subsets: Further ones, on which pooling scales are chosen, 3 or more; default 40,
            or fewer in the same measure.
        size: Rows of a subset; default 100, or a third of the rows.
        repeats: Fine-tuning seeds of each; 2 or more give the noise ceiling.
        targets: Examples of the test file whose losses are measured; default 200, or all.
        validation: Examples of the targets file, for the choice of scales; default 200, or all.
        cheap: Kinds of cheaper training ("last:1", "lora:8") to hold against the recipe's.
        scales: Candidates for the scale of attention pooling.
    """

    subsets: Subsets | None = None
    validation_subsets: Subsets | None = None
    size: Count | None = None
    repeats: Count = 2
    targets: Count | None = None
    validation: Count | None = None
    cheap: list[str] = field(default_factory=list)
    scales: Annotated[list[Positive], Meta(min_length=1)] = field(
        default_factory=lambda: [1, 2, 5, 10, 20, 40, 80]
    )

    def __post_init__(self) -> None:
        check_fields(self, "attribution")
        for trainable in self.cheap:
            Trainable.parse(trainable)

    def sizes(self, pool: int, targets: int, test: int) -> AttributionSizes:
        """All that is drawn, with a number for what was left open.

        Args:
            pool: Rows that subsets are drawn from.
            targets: Examples of the targets file.
            test: Examples of the test file.
        """
        size = self.size or default_size(pool)
        subsets = default_subsets(pool, size, _SUBSETS)
        return AttributionSizes(
            size,
            self.subsets or subsets,
            self.validation_subsets or subsets * 2 // 5,
            self.targets or max(1, min(_EXAMPLES, test)),
            self.validation or max(1, min(_EXAMPLES, targets)),
        )


@dataclass(frozen=True)
class AttributionSizes:
    """How much the LDS part draws; see `AttributionConfig`."""

    size: int
    subsets: int
    validation_subsets: int
    targets: int
    validation: int


@dataclass(frozen=True)
class AccuracyConfig:
    """Which share of the evaluation is answered, not only scored.

    Attributes:
        rows: Evaluation rows per source.
        max_new_tokens: Where generation stops.
    """

    rows: Count = 50
    max_new_tokens: Count = 16

    def __post_init__(self) -> None:
        check_fields(self, "selection.accuracy")


@dataclass(frozen=True)
class SelectionConfig:
    """The downstream part: select, fine-tune, measure.

    Attributes:
        budgets: Setting to numbers of rows to select; "auto" is as many as the first of `scorers`
            takes with k = "auto", and every arm then takes so many. Settings: "present" (the pool
            as it is), "removed" (without the targets' source), "wrong_labels" (completions swapped
            within sources), "templates_held_out" (the targets' source has other prompt templates
            in the pool than in targets and evaluation).
        sources: Target sources; default all that have rows enough. Their order is part of the
            draws.
        targets: Target examples per problem; fewer where held-out templates leave fewer, down to 5.
        evaluation: Held-out rows per source, at most.
        evaluate_on: "test", or "validation": rows of the targets file that are not targets, for
            choices that must not see the test file.
        seeds: Draws of the targets, each with a fine-tuning seed of its own.
        wrong_share: Share of completions swapped in "wrong_labels".
        steps: Optimizer steps of every run, as nearly as whole epochs come to it; default what the
            recipe's epochs make of the budget.
        scorers: Methods, each used with `selector`.
        selector: How scores become a set; null for each method's own default, as in
            `curate.select`.
        selectors: Further selectors, compared on the scores of `selectors_with`.
        selectors_with: Methods.
        scales: The pooling scale that greedy and coverage selection use, by "method" or
            "method/selector"; default the method's own.
        accuracy: Leave out (null) to measure losses only.
    """

    budgets: Annotated[
        dict[Setting, Annotated[list[Budget], Meta(min_length=1)]], Meta(min_length=1)
    ] = field(default_factory=lambda: {"present": [100]})
    sources: list[str] | None = None
    targets: Count = 30
    evaluation: Count = 100
    evaluate_on: Literal["test", "validation"] = "test"
    seeds: Count = 3
    wrong_share: Annotated[float, Meta(gt=0, le=1)] = 0.2
    steps: Count | None = None
    scorers: list[str] = field(default_factory=lambda: ["tfidf", "airrep"])
    selector: str | None = "layered_greedy"
    selectors: list[str] = field(default_factory=list)
    selectors_with: list[str] = field(default_factory=list)
    scales: dict[str, Finite] = field(default_factory=dict)
    accuracy: AccuracyConfig | None = field(default_factory=AccuracyConfig)

    def __post_init__(self) -> None:
        check_fields(self, "selection")
        if AUTO in chain(*self.budgets.values()) and not self.scorers:
            raise ArgumentError(
                "selection.budgets: auto is the size that the first of scorers takes; name one."
            )
        if bool(self.selectors) != bool(self.selectors_with):
            raise ArgumentError(
                "selection: selectors are compared on the scores of selectors_with; give both or "
                "neither."
            )


@dataclass(frozen=True)
class BenchmarkConfig:
    """A whole benchmark.

    Attributes:
        model: Directory, GGUF file or hub id of the language model to fine-tune.
        pool: Rows to choose from; anything `curate.select` reads.
        targets: Rows that targets and validation examples are drawn from.
        test: Rows that figures are reported on; never selected from, never trained on.
        columns: Which field is what; see `curate.select`.
        template_field: Field that names a row's prompt template, if there is one.
        separator: Between a prompt and a completion of text; nothing by default, as in TRL.
        max_tokens: Where examples are cut.
        recipe: How models are fine-tuned.
        runner: "direct", "stacked", "trl", or "auto": stacked where a small model can be taken
            apart, direct elsewhere.
        stack: Models trained together.
        seed: Seed of every draw.
        methods: Method to its options (see `eval_harness.benchmark.methods`).
        attribution: The LDS part; null leaves it out.
        selection: The downstream part; null leaves it out.
    """

    model: str
    pool: str
    targets: str
    test: str
    columns: dict[str, str] | None = None
    template_field: str | None = None
    separator: str = ""
    max_tokens: Count = 1024
    recipe: Recipe = field(default_factory=Recipe)
    runner: RunnerName = "auto"
    stack: Count = 4
    seed: Natural = 0
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)
    attribution: AttributionConfig | None = field(default_factory=AttributionConfig)
    selection: SelectionConfig | None = field(default_factory=SelectionConfig)

    def __post_init__(self) -> None:
        check_fields(self, "")
        if self.attribution is None and self.selection is None:
            raise ArgumentError("attribution and selection are both null: nothing to measure.")
        if self.attribution is not None and self.recipe.trainable in self.attribution.cheap:
            raise ArgumentError(
                f"attribution.cheap: {self.recipe.trainable!r} is what the recipe trains anyway."
            )
        if self.attribution is not None and not self.method_names:
            raise ArgumentError("methods: expected one or more, for the attribution part.")
        settings = () if self.selection is None else self.selection.budgets
        if "templates_held_out" in settings and self.template_field is None:
            raise ArgumentError(
                "the setting templates_held_out needs template_field: the field that names a "
                "row's prompt template."
            )

    @property
    def method_names(self) -> list[str]:
        """All that are compared: the configured ones, and those that the selection part names."""
        chosen = self.selection
        named = [] if chosen is None else [*chosen.scorers, *chosen.selectors_with]
        return sorted({*self.methods, *named})


def read_config(values: Mapping[str, Any]) -> BenchmarkConfig:
    """The config that a mapping (a YAML file's content) describes.

    Raises:
        ArgumentError: An unknown or missing key, or a value of the wrong kind; says where.
    """
    return read_settings(BenchmarkConfig, values)
