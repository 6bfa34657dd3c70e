"""The LDS part: do scores predict what training on random subsets really does?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from airrep.disk.atomic import write_json
from airrep.pooling import GroupPooling
from airrep.records import Example
from airrep.supervision import SubsetLosses, SubsetPlan
from eval_harness.benchmark.config import AttributionConfig, AttributionSizes
from eval_harness.benchmark.methods import Method, ScoreFiles
from eval_harness.benchmark.plots import plot_attribution
from eval_harness.benchmark.problems import sample
from eval_harness.benchmark.tables import attribution_markdown, cheap_markdown, differences_markdown
from eval_harness.files.outputs import write_table
from eval_harness.measures.datamodeling import lds_difference, lds_of_predictions
from eval_harness.measures.predictions import group_predictions
from eval_harness.measures.rank_statistics import Interval
from eval_harness.measures.reliability import noise_ceiling
from eval_harness.runners.base import Runner
from eval_harness.runs.subset_runs import run_subsets
from eval_harness.runs.subsets import Uniform, draw_plan
from selection.scores import Scores

Float64 = npt.NDArray[np.float64]
_TARGETS_OF_A_TASK = 5  # fewer say little about its mean loss


@dataclass(frozen=True, eq=False)
class Attribution:
    """The part's set-up: plan, examples and where things are kept.

    Examples and subsets have a role each, "validation" or "test".
    """

    config: AttributionConfig
    sizes: AttributionSizes
    plan: SubsetPlan
    pool: Sequence[Example]
    evaluation: Sequence[Example]
    directory: Path

    @classmethod
    def draw(
        cls,
        config: AttributionConfig,
        pool: Sequence[Example],
        targets: Sequence[Example],
        test: Sequence[Example],
        directory: Path,
        seed: int,
    ) -> Attribution:
        """Draw evaluation examples and subsets; the first subsets are those for validation."""
        sizes = config.sizes(len(pool), len(targets), len(test))
        validation = sample(targets, sizes.validation, seed)
        evaluation = [*validation, *sample(test, sizes.targets, seed)]
        positions = np.arange(len(evaluation))
        roles = {"validation": positions[: len(validation)], "test": positions[len(validation) :]}
        draws = [(Uniform(sizes.size), sizes.validation_subsets + sizes.subsets)]
        plan = draw_plan(pool, evaluation, draws, repeats=config.repeats, seed=seed, roles=roles)
        return cls(config, sizes, plan, pool, evaluation, directory)

    def record(self, runner: Runner, *, progress: bool) -> SubsetLosses:
        """Run the plan with one kind of training; see `run_subsets`."""
        place = self.directory / f"runs-{runner.recipe.trainable.replace(':', '-')}"
        return run_subsets(self.plan, self.pool, self.evaluation, runner, place, progress=progress)

    def part(self, role: str) -> tuple[npt.NDArray[np.int64], slice]:
        """Evaluation positions and subsets of a role."""
        split = self.sizes.validation_subsets
        subsets = slice(split) if role == "validation" else slice(split, None)
        return self.plan.roles[role], subsets

    def losses(self, measured: SubsetLosses, role: str) -> Float64:
        """(S, R, T) of the role's subsets and examples."""
        positions, subsets = self.part(role)
        return measured.values[subsets][:, :, positions]

    def of_tasks(self, values: Float64, role: str) -> Float64 | None:
        """The means over a source's examples, (S, tasks); None with fewer than two such sources.

        Args:
            values: (S, T) of the role's examples.
            role: "validation" or "test".
        """
        sources = np.array([self.evaluation[i].source for i in self.part(role)[0]])
        names, counts = np.unique(sources, return_counts=True)
        tasks = names[(counts >= _TARGETS_OF_A_TASK) & (names != "")]
        if len(tasks) < 2:
            return None
        return np.stack([values[:, sources == task].mean(axis=1) for task in tasks], axis=1)

    def predictions(
        self, scores: Scores, role: str, pooling: GroupPooling, scale: float
    ) -> Float64:
        """(S, T) predicted influence of the role's subsets on its examples."""
        positions, subsets = self.part(role)
        values = scores.values()[positions]
        return group_predictions(values, self.plan.subsets[subsets], pooling, scale)


@dataclass(frozen=True)
class AttributionReport:
    """What the part found."""

    rows: list[dict[str, Any]]  # a row per method: LDS with interval, cost
    against: str  # the method that the others are compared with
    differences: list[dict[str, Any]]  # a row per other method: its LDS minus that one's
    ceiling: dict[str, float] | None  # None with a single repeat
    cheap: Sequence[dict[str, Any]]  # rows of `cheap_truth`
    markdown: str = field(repr=False)  # the tables

    def write(self, directory: Path) -> None:
        """Write attribution.parquet, attribution.json and, where it can be drawn, a picture.

        Raises:
            OutputError: The directory cannot be written to.
        """
        write_table(pd.DataFrame(self.rows), directory / "attribution.parquet")
        differences = {"against": self.against, "rows": self.differences}
        write_json(
            directory / "attribution.json",
            {"ceiling": self.ceiling, "cheap": list(self.cheap), "differences": differences},
        )
        plot_attribution(self.rows, self.ceiling, directory / "attribution.png")


def report_attribution(
    part: Attribution,
    measured: SubsetLosses,
    methods: Sequence[Method],
    files: ScoreFiles,
    *,
    against: str | None = None,
    cheap: Sequence[dict[str, Any]] = (),
) -> AttributionReport:
    """Evaluate methods.

    Args:
        part: Plan and examples.
        measured: Its runs.
        methods: What is compared.
        files: Where scores are kept.
        against: The method that the others are compared with; default the one that does best on
            validation.
        cheap: Rows of `cheap_truth`.
    """
    rows, predicted = evaluate_methods(part, measured, methods, files)
    against = against or max(rows, key=lambda row: row["validation"])["method"]
    losses = part.losses(measured, "test")
    gaps = [
        {"method": name} | _columns("difference", lds_difference(guess, predicted[against], losses))
        for name, guess in predicted.items()
        if name != against
    ]
    ceiling = None
    if (found := noise_ceiling(losses)) is not None:
        ceiling = _columns("single", Interval(found.single, found.low, found.high))
        ceiling |= {"corrected": found.corrected, "attainable": found.attainable}
    texts = [attribution_markdown(rows, ceiling)]
    if gaps:
        texts.append(differences_markdown(gaps, against))
    if cheap:
        texts.append(cheap_markdown(cheap))
    return AttributionReport(rows, against, gaps, ceiling, cheap, "\n\n".join(texts))


def evaluate_methods(
    part: Attribution, measured: SubsetLosses, methods: Sequence[Method], files: ScoreFiles
) -> tuple[list[dict[str, Any]], dict[str, Float64]]:
    """LDS of every method: with sums, and with attention at the scale that validation prefers.

    The LDS of tasks is that of sources' mean losses, with attention, which is what a selection for
    a task is about.

    Returns:
        A row per method, and each method's predictions on the test subsets (attention).
    """
    rows, predicted = [], {}
    validation, test = (part.losses(measured, role) for role in ("validation", "test"))
    for method in methods:
        scores, cost = files.get(method, part.evaluation, part.pool)
        tried = {}
        for scale in part.config.scales:
            guess = part.predictions(scores, "validation", "attention", scale)
            # so sharp that all subsets look alike, it has no LDS
            told_apart = np.ptp(guess, axis=0).any()
            found = lds_of_predictions(guess, validation, draws=0).mean if told_apart else -np.inf
            tried[scale] = found
        scale = max(tried, key=lambda s: tried[s])
        predicted[method.name] = part.predictions(scores, "test", "attention", scale)
        plain = part.predictions(scores, "test", "sum", 1.0)
        tasks = part.of_tasks(predicted[method.name], "test")
        means = part.of_tasks(test.mean(axis=1), "test")
        of_tasks: dict[str, Any] = {}
        if tasks is not None and means is not None:
            of_tasks = {"tasks": tasks.shape[1]}
            of_tasks |= _columns("task", lds_of_predictions(tasks, means))
        rows.append(
            {
                "method": method.name,
                **_columns("sum", lds_of_predictions(plain, test)),
                **_columns("attention", lds_of_predictions(predicted[method.name], test)),
                **of_tasks,
                "scale": scale,
                "validation": tried[scale],
                "seconds_per_row": cost["seconds"] / cost["rows"],
                "bytes_per_row": cost["bytes_per_row"],
            }
        )
    return rows, predicted


def cheap_truth(part: Attribution, full: SubsetLosses, cheap: SubsetLosses) -> dict[str, float]:
    """How well cheaper training ranks subsets: the LDS of its losses against the recipe's."""
    guess = -part.losses(cheap, "test").mean(axis=1)
    return {
        **_columns("agreement", lds_of_predictions(guess, part.losses(full, "test"))),
        "seconds_per_run": float(cheap.seconds.mean()),
        "full_seconds_per_run": float(full.seconds.mean()),
    }


def _columns(name: str, found: Interval) -> dict[str, Any]:
    return {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
