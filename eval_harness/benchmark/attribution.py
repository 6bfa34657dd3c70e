"""The LDS part: do scores predict what training on random subsets really does?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from airrep.records import Example
from airrep.supervision import SubsetLosses, SubsetPlan
from eval_harness.benchmark.config import AttributionConfig
from eval_harness.benchmark.methods import Method, ScoreFiles
from eval_harness.benchmark.problems import sample
from eval_harness.measures.datamodeling import lds_difference, lds_of_predictions
from eval_harness.measures.predictions import group_predictions
from eval_harness.measures.rank_statistics import Interval
from eval_harness.measures.reliability import noise_ceiling
from eval_harness.runners.base import Runner
from eval_harness.runs.subset_runs import run_subsets
from eval_harness.runs.subsets import Uniform, draw_plan
from selection.scores import Scores

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Attribution:
    """The part's set-up: plan, examples and where things are kept."""

    config: AttributionConfig
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
        validation = sample(targets, config.validation, seed)
        evaluation = [*validation, *sample(test, config.targets, seed)]
        roles = {
            "validation": np.arange(len(validation)),
            "test": np.arange(len(validation), len(evaluation)),
        }
        count = config.validation_subsets + config.subsets
        plan = draw_plan(
            pool,
            evaluation,
            [(Uniform(config.size), count)],
            repeats=config.repeats,
            seed=seed,
            roles=roles,
        )
        return cls(config, plan, pool, evaluation, directory)

    def record(self, runner: Runner, *, progress: bool) -> SubsetLosses:
        """Run the plan with one kind of training; see `run_subsets`."""
        place = self.directory / f"runs-{runner.recipe.trainable.replace(':', '-')}"
        return run_subsets(self.plan, self.pool, self.evaluation, runner, place, progress=progress)

    def part(self, role: str) -> tuple[npt.NDArray[np.int64], slice]:
        """Evaluation positions and subsets of a role."""
        split = self.config.validation_subsets
        subsets = slice(split) if role == "validation" else slice(split, None)
        return self.plan.roles[role], subsets

    def losses(self, measured: SubsetLosses, role: str) -> Float64:
        """(S, R, T) of the role's subsets and examples."""
        positions, subsets = self.part(role)
        return measured.values[subsets][:, :, positions]

    def predictions(self, scores: Scores, role: str, pooling: Any, scale: float) -> Float64:  # noqa: ANN401
        """(S, T) predicted influence of the role's subsets on its examples."""
        positions, subsets = self.part(role)
        return group_predictions(
            scores.values()[positions], self.plan.subsets[subsets], pooling, scale
        )


def evaluate_methods(
    attribution: Attribution, measured: SubsetLosses, methods: Sequence[Method], files: ScoreFiles
) -> tuple[list[dict[str, Any]], dict[str, Float64]]:
    """LDS of every method: with sums, and with attention at the scale that validation prefers.

    Returns:
        A row per method, and each method's predictions on the test subsets (attention).
    """
    rows, predicted = [], {}
    validation, test = (attribution.losses(measured, role) for role in ("validation", "test"))
    for method in methods:
        scores, cost = files.get(method, attribution.evaluation, attribution.pool)

        def lds_at(scale: float, scores: Scores = scores) -> float:
            guess = attribution.predictions(scores, "validation", "attention", scale)
            if not np.ptp(guess, axis=0).any():  # so sharp that all subsets look alike
                return -np.inf
            return lds_of_predictions(guess, validation, draws=0).mean

        tried = {scale: lds_at(scale) for scale in attribution.config.scales}
        scale = max(tried, key=lambda s: tried[s])
        predicted[method.name] = attribution.predictions(scores, "test", "attention", scale)
        plain = attribution.predictions(scores, "test", "sum", 1.0)
        rows.append(
            {
                "method": method.name,
                **_columns("sum", lds_of_predictions(plain, test)),
                **_columns("attention", lds_of_predictions(predicted[method.name], test)),
                "scale": scale,
                "validation": tried[scale],
                "seconds_per_row": cost["seconds"] / cost["rows"],
                "bytes_per_row": cost["bytes_per_row"],
            }
        )
    return rows, predicted


def ceiling_row(attribution: Attribution, measured: SubsetLosses) -> dict[str, float] | None:
    """The noise ceiling of the test part, or None with a single repeat."""
    result = noise_ceiling(attribution.losses(measured, "test"))
    if result is None:
        return None
    return {
        "single": result.single,
        "single_low": result.low,
        "single_high": result.high,
        "corrected": result.corrected,
        "attainable": result.attainable,
    }


def cheap_truth(
    attribution: Attribution, full: SubsetLosses, cheap: SubsetLosses
) -> dict[str, float]:
    """How well cheaper training ranks subsets: the LDS of its losses against the recipe's."""
    test = attribution.losses(full, "test")
    guess = -attribution.losses(cheap, "test").mean(axis=1)
    return {
        **_columns("agreement", lds_of_predictions(guess, test)),
        "seconds_per_run": float(cheap.seconds.mean()),
        "full_seconds_per_run": float(full.seconds.mean()),
    }


def differences(
    predicted: Mapping[str, Float64], losses: Float64, against: str
) -> dict[str, Interval]:
    """LDS of each method minus that of one of them, on the same resamples."""
    return {
        name: lds_difference(guess, predicted[against], losses)
        for name, guess in predicted.items()
        if name != against
    }


def _columns(name: str, result: Interval) -> dict[str, float]:
    return {name: result.mean, f"{name}_low": result.low, f"{name}_high": result.high}
