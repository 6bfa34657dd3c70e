"""A plan of subsets to measured losses: one fine-tuning run per subset and repeat, resumable."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from airrep.disk.atomic import check_writable
from airrep.disk.locks import locked
from airrep.disk.parts import discard, kept_in
from airrep.disk.paths import user_path
from airrep.errors import EmbeddingError, LossError, SupervisionError
from airrep.records import Example
from airrep.supervision import SubsetLosses, SubsetPlan, read_run, run_file, write_run
from eval_harness.runners.base import Runner, TrainingRun, provenance
from eval_harness.runs.jobs import do_jobs


def run_subsets(
    plan: SubsetPlan,
    pool: Sequence[Example],
    evaluation: Sequence[Example],
    runner: Runner,
    directory: str | Path,
    *,
    progress: bool = False,
) -> SubsetLosses:
    """Fine-tune on every subset of a plan and record the loss of every evaluation example.

    Runs that are there already are kept. Several processes may work on one directory at the same
    time. Which runs train together depends on the plan alone, so a resumed plan gives the same
    losses, bit for bit on the same machine, as an undisturbed one.

    Args:
        plan: The subsets; the directory is bound to it.
        pool: What the plan's positions refer to.
        evaluation: The examples whose losses are measured.
        runner: How to train; the directory is bound to its model and recipe.
        directory: Where runs are recorded.
        progress: Show a progress bar on standard error.

    Raises:
        SupervisionError: The plan was drawn for other rows, or the directory holds another plan or
            the runs of another model or recipe.
        LossError: A loss is NaN or infinite; says which example after which run.

    Example:
        >>> from eval_harness import Recipe, StackedRunner, draw_plan
        >>> from eval_harness.runs.subsets import Uniform
        >>> rows = [Example(str(i), f"question {i}", "answer") for i in range(6)]
        >>> plan = draw_plan(rows[:4], rows[4:], [(Uniform(2), 3)], repeats=2)
        >>> runner = StackedRunner(model, Recipe(epochs=1))
        >>> run_subsets(plan, rows[:4], rows[4:], runner, "runs").values.shape
        (3, 2, 2)
    """
    directory = user_path(directory, "directory")
    plan.check(pool, evaluation)
    check_writable(directory / "runs")
    plan.save(directory)
    names = {f"{s[0][0]:05d}-{s[0][1]}": s for s in _stacks(plan, runner.stack)}
    for file in _recorded(plan, directory):
        _check_provenance(file, plan, provenance(runner))

    do_jobs(
        directory,
        {
            name: {run: runner.recipe.steps(len(plan.subsets[run[0]])) for run in stack}
            for name, stack in names.items()
        },
        lambda run: run_file(directory, *run).exists(),
        lambda name: _run_stack(plan, pool, evaluation, runner, directory, names[name]),
        title="runs",
        progress=progress,
    )
    return SubsetLosses.load(directory, model=runner.model.fingerprint)


def seconds_of_a_run(
    plan: SubsetPlan, pool: Sequence[Example], evaluation: Sequence[Example], runner: Runner
) -> float:
    """How long one run of a plan takes, losses included, by doing those that train together first.

    Args:
        plan: See `run_subsets`; as are the other arguments.
        pool: See there.
        evaluation: See there.
        runner: See there.

    Raises:
        SupervisionError: The plan was drawn for other rows.
        LossError: A training loss is NaN or infinite.
    """
    plan.check(pool, evaluation)
    stack = _stacks(plan, runner.stack)[0]
    start = time.perf_counter()
    runner.train(_runs(plan, pool, stack)).losses(evaluation)
    return (time.perf_counter() - start) / len(stack)


def _runs(
    plan: SubsetPlan, pool: Sequence[Example], stack: Sequence[tuple[int, int]]
) -> list[TrainingRun]:
    return [
        TrainingRun([pool[i] for i in plan.subsets[s].tolist()], plan.run_seed(s, r))
        for s, r in stack
    ]


def _stacks(plan: SubsetPlan, most: int) -> list[list[tuple[int, int]]]:
    """Runs that train together: of one size, in the plan's order."""
    by_size: dict[int, list[tuple[int, int]]] = {}
    for subset, repeat in plan.runs:
        by_size.setdefault(len(plan.subsets[subset]), []).append((subset, repeat))
    return [runs[i : i + most] for runs in by_size.values() for i in range(0, len(runs), most)]


def _run_stack(
    plan: SubsetPlan,
    pool: Sequence[Example],
    evaluation: Sequence[Example],
    runner: Runner,
    directory: Path,
    stack: Sequence[tuple[int, int]],
) -> None:
    start = time.perf_counter()
    runs = _runs(plan, pool, stack)
    names = [f"subset {s}, repeat {r} (seed {plan.run_seed(s, r)})" for s, r in stack]
    # a place of its own: other processes keep parts of other runs
    place, parts = directory / "runs", run_file(directory, *stack[0]).stem
    try:
        with kept_in(place, parts):
            losses = runner.train(runs).losses(evaluation)
    except (EmbeddingError, LossError) as error:
        found = LossError(error.problem, where=error.where, remedy=error.remedy)
        raise found.at(f"training on {'; '.join(names)}") from error
    seconds = (time.perf_counter() - start) / len(stack)
    made_by = provenance(runner)
    with locked(directory / ".lock"):  # of two recipes that begin at once, one is refused
        for file in islice(_recorded(plan, directory), 1):
            _check_provenance(file, plan, made_by)
        for (subset, repeat), name, run, row in zip(stack, names, runs, losses, strict=True):
            for i in np.flatnonzero(~np.isfinite(row))[:1].tolist():
                raise LossError(
                    f"the loss of evaluation example {i} (id {evaluation[i].id!r}) is {row[i]} "
                    f"after the run on {name}; lower the learning rate, or remove the example."
                )
            facts = {"provenance": made_by, "subset": subset, "repeat": repeat, "seed": run.seed}
            facts["seconds"] = round(seconds, 4)
            write_run(run_file(directory, subset, repeat), plan, row, facts)
    discard(place, parts)


def _recorded(plan: SubsetPlan, directory: Path) -> Iterator[Path]:
    """The files of the runs that are done."""
    files = (run_file(directory, *run) for run in plan.runs)
    return (file for file in files if file.exists())


def _check_provenance(file: Path, plan: SubsetPlan, expected: dict[str, object]) -> None:
    found = read_run(file, plan)[1]["provenance"]
    for key, value in expected.items():
        if found.get(key) != value:
            what = "losses of another model" if key == "model" else "runs trained otherwise"
            raise SupervisionError(
                f"{file}: the directory holds {what} ({key} is {found.get(key)!r}, this run's is "
                f"{value!r}). Use another directory, or delete this one."
            )
