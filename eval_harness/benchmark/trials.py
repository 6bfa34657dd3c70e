"""The downstream part: select with every method, fine-tune on the selection, measure.

A job is one problem at one budget: the picks of all methods are trained with the same seed and
measured on the same rows, so that methods can be compared in pairs. Jobs are shared by any number
of processes and written when they are done.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from airrep.disk.parts import discard, kept_in
from airrep.disk.sealed import write_sealed
from airrep.errors import ArgumentError, LossError
from airrep.language_model.losses import completion_losses
from airrep.language_model.model import LanguageModel
from airrep.records import Example
from eval_harness.benchmark.config import Budget, SelectionConfig
from eval_harness.benchmark.controls import CONTROLS
from eval_harness.benchmark.methods import Method, ScoreFiles
from eval_harness.benchmark.problems import Problem, Problems
from eval_harness.benchmark.trial_file import FORMAT, read_trial
from eval_harness.measures.task_accuracy import accuracy
from eval_harness.runners.base import Runner, TrainingRun
from eval_harness.runs.jobs import do_jobs
from selection.capabilities import SelectorCapabilities
from selection.scores import Scores
from selection.selectors import (
    Selector,
    check_selector,
    check_sizes_itself,
    default_selector,
    make_selector,
)
from selection.selectors.base import AUTO, SizesItself

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Arm:
    """One way to select: a control, or a scorer with a selector."""

    scorer: str
    selector: str

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.scorer if self.scorer in CONTROLS else f"{self.scorer} · {self.selector}"


@dataclass(frozen=True, eq=False)
class Trials:
    """All downstream jobs of a benchmark."""

    config: SelectionConfig
    problems: Problems
    methods: Mapping[str, Method]
    files: ScoreFiles
    runner: Runner
    directory: Path

    @cached_property
    def arms(self) -> list[Arm]:
        """What is compared, controls first."""
        arms = [Arm(name, "random") for name in CONTROLS]
        arms += [Arm(name, self.selector_of(name)) for name in self.config.scorers]
        for name in self.config.selectors_with:
            arms += [Arm(name, selector) for selector in self.config.selectors]
        return list(dict.fromkeys(arms))

    def selector_of(self, scorer: str) -> str:
        """What makes a set of this method's scores, unless an arm says otherwise."""
        if self.config.selector is not None:
            return self.config.selector
        method = self.methods.get(scorer)
        rows, scale = len(self.problems.pool), self.config.scales.get(scorer)
        return default_selector(method and method.scorer, rows, scale)

    @cached_property
    def jobs(self) -> dict[str, tuple[str, str, int, Budget]]:
        """Name, which is also the file's, to (setting, source, seed, budget)."""
        return {
            f"{setting}-{quote(source, safe='')}-{budget}-{seed}": (setting, source, seed, budget)
            for setting, budgets in self.config.budgets.items()
            for seed in range(self.config.seeds)
            for source in self.problems.sources
            for budget in budgets
        }

    def run(self, *, progress: bool) -> list[dict[str, Any]]:
        """Do the jobs that are not done, and return the results of all: a row per arm.

        Raises:
            ArgumentError: See `check`.
            LossError: A loss after fine-tuning is NaN or infinite.
        """
        self.check()
        place = self.directory / "trials"
        self._score_pools(place)

        def do(name: str) -> None:
            with kept_in(place, name):
                rows = self._run(name)
            write_sealed(place / f"{name}.json", {"format": FORMAT, "rows": rows})
            discard(place, name)

        do_jobs(
            place,
            {
                name: {name: len(self.arms) * self._runner_for(size).recipe.steps(size)}
                for name, size in self._sizes.items()
            },
            lambda name: (place / f"{name}.json").exists(),
            do,
            title="selections",
            progress=progress,
        )
        return [row for name in self.jobs for row in read_trial(place / f"{name}.json")]

    def _score_pools(self, place: Path) -> None:
        """All scores, before the trials: what the first takes then tells what the others will."""
        scorers = dict.fromkeys(arm.scorer for arm in self.arms if arm.scorer not in CONTROLS)
        left = {
            job[0]: job for name, job in self.jobs.items() if not (place / f"{name}.json").exists()
        }
        for setting, source, seed, _ in left.values():
            for scorer in scorers:
                self._scores(self.problems.make(setting, source, seed), scorer)

    def check(self) -> None:
        """Refuse, before any training, what cannot be run.

        Raises:
            ArgumentError: An arm names a method that the config does not or that is called as a
                control is, a scale is for no arm, a problem cannot be made, or a budget is larger
                than a pool.
        """
        wanted = [*self.config.scorers, *self.config.selectors_with]
        for name in wanted:
            if name in CONTROLS:
                raise ArgumentError(
                    f"selection: {name!r} is a control, which is compared anyway; for the method, "
                    "write another name, and under methods which kind it is."
                )
        known = {*wanted, *(f"{arm.scorer}/{arm.selector}" for arm in self.arms)}
        for name in sorted(set(self.config.scales) - known):
            raise ArgumentError(f"selection.scales: nothing is compared by the name {name!r}.")
        for arm in self.arms:
            if arm.scorer not in self.methods and arm.scorer not in CONTROLS:
                raise ArgumentError(
                    f"selection: method {arm.scorer!r} is not among the config's methods "
                    f"({', '.join(self.methods)})."
                )
            selector = make_selector(arm.selector)  # refuses names that do not exist
            method = self.methods.get(arm.scorer)
            check_selector(selector, method and method.scorer)
        for setting, source, seed, budget in self.jobs.values():
            pool = self.problems.make(setting, source, seed).pool
            if budget == AUTO:
                check_sizes_itself(self._sizing)
            elif budget > len(pool):
                raise ArgumentError(
                    f"budget {budget} is larger than the pool of {setting}, {source}: {len(pool)}."
                )

    @cached_property
    def _all_targets(self) -> Indices:
        """Every target of every problem, so that a method scores a pool once."""
        made = {
            (setting, source, seed): self.problems.make(setting, source, seed).targets
            for setting, source, seed, _ in self.jobs.values()
        }
        return np.unique(np.concatenate(list(made.values())))

    def _scores(self, problem: Problem, method: str) -> Scores:
        targets = [self.problems.targets.examples[i] for i in self._all_targets]
        pool = self.problems.pool_of(problem.setting)
        herded = any(
            SelectorCapabilities.of(make_selector(arm.selector)).needs_embeddings
            for arm in self.arms
            if arm.scorer == method
        )
        whole, _ = self.files.get(self.methods[method], targets, pool, embeddings=herded)
        rows = np.searchsorted(self._all_targets, problem.targets)
        return whole.for_targets(rows).columns(problem.pool)

    def _picks(self, problem: Problem, arm: Arm, budget: int, scores: Scores | None) -> Indices:
        """Positions in the setting's pool; controls have no scores."""
        if scores is None:
            pool = self.problems.pool_of(problem.setting)
            key = [self.problems.seed, problem.seed, budget, *arm.scorer.encode()]
            targets = [self.problems.targets.examples[i] for i in problem.targets]
            chosen = CONTROLS[arm.scorer](
                targets, [pool[i] for i in problem.pool], budget, np.random.default_rng(key)
            )
        else:
            chosen = self._selector(arm, problem.seed).select(scores, budget).indices
        return problem.pool[chosen]

    def _selector(self, arm: Arm, seed: int = 0) -> Selector:
        scales = self.config.scales
        scale = scales.get(f"{arm.scorer}/{arm.selector}", scales.get(arm.scorer))
        return make_selector(arm.selector, scale=scale, seed=seed)

    @property
    def _sizing(self) -> Selector:
        """Of the first scorer: it says how many rows a budget "auto" is."""
        first = self.config.scorers[0]
        return self._selector(Arm(first, self.selector_of(first)))

    @cached_property
    def _sizes(self) -> dict[str, int]:
        """Rows of every job."""
        sizes: dict[str, int] = {}
        for name, (setting, source, seed, budget) in self.jobs.items():
            if budget == AUTO:
                selector, first = self._sizing, self.config.scorers[0]
                assert isinstance(selector, SizesItself), "checked before"
                problem = self.problems.make(setting, source, seed)
                budget = len(selector.select_best_size(self._scores(problem, first)))
            sizes[name] = budget
        return sizes

    def _runner_for(self, size: int) -> Runner:
        if self.config.steps is None:
            return self.runner
        other, recipe = copy(self.runner), self.runner.recipe
        other.recipe = replace(recipe, epochs=recipe.epochs_for(self.config.steps, size))
        return other

    def _run(self, name: str) -> list[dict[str, Any]]:
        (setting, source, seed, budget), size = self.jobs[name], self._sizes[name]
        problem = self.problems.make(setting, source, seed)
        pool = self.problems.pool_of(setting)
        evaluation = [self.problems.evaluated.examples[i] for i in problem.evaluation]
        common = {
            "setting": setting,
            "source": source,
            "seed": seed,
            "budget": budget,
            "rows": size,
        }
        wrong = set(self.problems.wrong_pool[1].tolist()) if setting == "wrong_labels" else set()
        runs: list[TrainingRun] = []
        rows: list[dict[str, Any]] = [
            {
                **common,
                "scorer": "none",
                "selector": "none",
                "arm": "no fine-tuning",
                "own_source": None,
                "wrong": None,
                "select_seconds": 0.0,
                "train_seconds": 0.0,
                "losses": completion_losses(self.runner.model, evaluation).tolist(),
                **self._answers(self.runner.model, problem),
            }
        ]
        for arm in self.arms:
            scores = None if arm.scorer in CONTROLS else self._scores(problem, arm.scorer)
            start = time.perf_counter()
            chosen = self._picks(problem, arm, size, scores)
            runs.append(TrainingRun([pool[i] for i in chosen], seed))
            rows.append(
                {
                    **common,
                    "scorer": arm.scorer,
                    "selector": arm.selector,
                    "arm": arm.name,
                    "own_source": float(np.mean([pool[i].source == source for i in chosen])),
                    "wrong": float(np.mean([i in wrong for i in chosen.tolist()])),
                    "select_seconds": round(time.perf_counter() - start, 4),
                }
            )
        measured = self._train_and_measure(runs, evaluation, problem)
        for row, facts in zip(rows[1:], measured, strict=True):
            row.update(facts)
        for row in rows:
            row["loss"] = float(np.mean(row["losses"]))
            if not np.isfinite(row["loss"]):
                raise LossError(
                    f"{setting}, {source}, {row['arm']}, seed {seed}: the loss after fine-tuning "
                    f"is {row['loss']}; lower the learning rate."
                )
        return rows

    def _train_and_measure(
        self, runs: Sequence[TrainingRun], evaluation: Sequence[Example], problem: Problem
    ) -> Iterator[dict[str, Any]]:
        runner, stack = self._runner_for(len(runs[0].examples)), self.runner.stack
        for first in range(0, len(runs), stack):
            start = time.perf_counter()
            part = runs[first : first + stack]
            trained = runner.train(part)
            seconds = (time.perf_counter() - start) / len(part)
            for losses, model in zip(trained.losses(evaluation), trained.models(), strict=True):
                yield {
                    "train_seconds": round(seconds, 4),
                    "losses": losses.tolist(),
                    **self._answers(model, problem),
                }

    def _answers(self, model: LanguageModel, problem: Problem) -> dict[str, float]:
        if self.config.accuracy is None:
            return {}
        shown = problem.evaluation[: self.config.accuracy.rows].tolist()
        known, asked = [self.problems.pool, self.problems.targets], self.problems.evaluated
        found = accuracy(
            model,
            [asked.examples[i] for i in shown],
            groups=[asked.groups[i] for i in shown],
            reference=[e for rows in known for e in rows.examples],
            reference_groups=[g for rows in known for g in rows.groups],
            max_new_tokens=self.config.accuracy.max_new_tokens,
        )
        return {
            "exact": found.mean_exact,
            "f1": found.mean_f1,
            "ranked": float(np.mean([m == "label_choice" for m in found.methods])),
        }
