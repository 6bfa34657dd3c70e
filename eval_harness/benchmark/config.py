"""Settings of a benchmark, as read from a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, get_args

from airrep.errors import ArgumentError
from eval_harness.files.settings import at_least, read_settings
from eval_harness.runners.choice import RunnerName
from eval_harness.runners.recipe import Recipe, Trainable
from selection.selectors.base import AUTO

Setting = Literal["present", "removed", "wrong_labels", "templates_held_out"]
SETTINGS: tuple[str, ...] = get_args(Setting)
Budget = int | Literal["auto"]
_FEWEST = 3  # subsets: LDS ranks them


@dataclass(frozen=True)
class AttributionConfig:
    """The LDS part: random subsets, and how well scores predict their effect.

    Attributes:
        subsets: Subsets that figures are reported on; 3 or more.
        validation_subsets: Further ones, on which pooling scales are chosen; 3 or more.
        size: Rows of a subset.
        repeats: Fine-tuning seeds of each; 2 or more give the noise ceiling.
        targets: Examples of the test file whose losses are measured.
        validation: Examples of the targets file, for the choice of scales.
        cheap: Kinds of cheaper training ("last:1", "lora:8") to hold against the recipe's.
        scales: Candidates for the scale of attention pooling.
    """

    subsets: int = 100
    validation_subsets: int = 40
    size: int = 100
    repeats: int = 2
    targets: int = 200
    validation: int = 200
    cheap: list[str] = field(default_factory=list)
    scales: list[float] = field(default_factory=lambda: [1, 2, 5, 10, 20, 40, 80])

    def __post_init__(self) -> None:
        at_least(self, "attribution", _FEWEST, "subsets", "validation_subsets")
        at_least(self, "attribution", 1, "size", "repeats", "targets", "validation")
        if not self.scales or not all(0 < scale < float("inf") for scale in self.scales):
            raise ArgumentError("attribution.scales: expected one number above 0 or more.")
        for trainable in self.cheap:
            Trainable.parse(trainable)


@dataclass(frozen=True)
class AccuracyConfig:
    """Which share of the evaluation is answered, not only scored.

    Attributes:
        rows: Evaluation rows per source.
        max_new_tokens: Where generation stops.
    """

    rows: int = 50
    max_new_tokens: int = 16

    def __post_init__(self) -> None:
        at_least(self, "selection.accuracy", 1, "rows", "max_new_tokens")


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
        steps: Optimiser steps of every run, as nearly as whole epochs come to it; default what the
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

    budgets: dict[str, list[Budget]] = field(default_factory=lambda: {"present": [100]})
    sources: list[str] | None = None
    targets: int = 30
    evaluation: int = 100
    evaluate_on: Literal["test", "validation"] = "test"
    seeds: int = 3
    wrong_share: float = 0.2
    steps: int | None = None
    scorers: list[str] = field(default_factory=lambda: ["tfidf", "airrep"])
    selector: str | None = "layered_greedy"
    selectors: list[str] = field(default_factory=list)
    selectors_with: list[str] = field(default_factory=list)
    scales: dict[str, float] = field(default_factory=dict)
    accuracy: AccuracyConfig | None = field(default_factory=AccuracyConfig)

    def __post_init__(self) -> None:
        at_least(self, "selection", 1, "targets", "evaluation", "seeds")
        unknown = sorted(set(self.budgets) - set(SETTINGS))
        if unknown:
            raise ArgumentError(
                f"selection.budgets: setting {unknown[0]!r} is unknown; choose from "
                f"{', '.join(SETTINGS)}."
            )
        sizes = [size for size in chain(*self.budgets.values()) if size != AUTO]
        if not self.budgets or not all(self.budgets.values()) or min(sizes, default=1) < 1:
            raise ArgumentError(
                "selection.budgets: expected one setting or more, and for each a list of numbers "
                f"of rows, 1 or more, or auto; found {self.budgets!r}."
            )
        if AUTO in chain(*self.budgets.values()) and not self.scorers:
            raise ArgumentError(
                "selection.budgets: auto is the size that the first of scorers takes; name one."
            )
        if self.steps is not None:
            at_least(self, "selection", 1, "steps")
        if not 0 < self.wrong_share <= 1:
            raise ArgumentError("selection.wrong_share: expected a share in (0, 1].")
        if bool(self.selectors) != bool(self.selectors_with):
            raise ArgumentError(
                "selection: selectors are compared on the scores of selectors_with; give both or "
                "neither."
            )


@dataclass(frozen=True)
class BenchmarkConfig:
    """A whole benchmark.

    Attributes:
        model: Directory or hub id of the language model to fine-tune.
        pool: Rows to choose from; anything `curate.select` reads.
        targets: Rows that targets and validation examples are drawn from.
        test: Rows that figures are reported on; never selected from, never trained on.
        columns: Which field is what; see `curate.select`.
        template_field: Field that names a row's prompt template, if there is one.
        separator: Between prompt and completion, without a chat template.
        max_tokens: Where examples are cut.
        recipe: How models are fine-tuned.
        runner: "stacked", "trl", or "auto": stacked where the model can be taken apart.
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
    separator: str = "\n"
    max_tokens: int = 1024
    recipe: Recipe = field(default_factory=Recipe)
    runner: RunnerName = "auto"
    stack: int = 4
    seed: int = 0
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)
    attribution: AttributionConfig | None = field(default_factory=AttributionConfig)
    selection: SelectionConfig | None = field(default_factory=SelectionConfig)

    def __post_init__(self) -> None:
        at_least(self, "", 1, "stack", "max_tokens")
        at_least(self, "", 0, "seed")
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
