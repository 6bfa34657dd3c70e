"""The verb `trial`: a few minutes of fine-tuning that say whether selecting helps here."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from airrep.console.progress import announce
from airrep.console.wording import counted
from airrep.disk.atomic import check_writable, write_json
from airrep.disk.paths import user_path
from airrep.errors import ArgumentError
from airrep.machine.arguments import check_count, check_seed
from airrep.records import Example, with_roles
from curate.rows.io import OnBadRow
from curate.stages.destination import check_apart
from curate.stages.inputs import Input, Source, read_input
from curate.verbs.select import select
from eval_harness.benchmark.plots import plot_arms
from eval_harness.files.outputs import check_own, write_text, written_alone
from eval_harness.measures.arms import NO_TRAINING, RANDOM, SELECTED, WORDS, Trial
from eval_harness.runners.choice import choose_runner, longest_tokens
from eval_harness.runners.recipe import Recipe

if TYPE_CHECKING:
    from airrep.language_model.model import LanguageModel
    from eval_harness.runners.base import Runner

_FEWEST_TARGETS, _MOST_HELD_OUT = 8, 100
_MOST_ROWS, _FEWEST_ROWS = 200, 20  # of a selection, where nobody says how many
_POOL_SHARE = 4  # and at most a fourth of the pool
_MOST_REPEATS, _PLANNED = 5, 0.8  # share of the time that is planned for
_ARMS = 3  # that are trained
_RESULTS = ("trial.md", "trial.json", "trial.png")


def trial(
    pool: Source,
    targets: Source,
    model: str | Path,
    *,
    minutes: float = 10.0,
    k: int | None = None,
    encoder: str | Path | None = None,
    trainable: str = "all",
    epochs: int = 2,
    learning_rate: float = 1e-4,
    batch_size: int = 20,
    separator: str = "",
    max_tokens: int = 1024,
    columns: Mapping[str, str] | None = None,
    target_columns: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    on_bad_row: OnBadRow = "error",
    output: str | Path | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Trial:
    """Find out in a few minutes whether selected rows train a model better than random ones.

    Half of the targets, 100 at most, are held out. Rows are selected for the others, by default
    options and by TF-IDF, and drawn at random. The model is fine-tuned on each, as often as the
    time allows, and the losses on the held-out targets are compared.

    Args:
        pool: Rows to choose from; anything that `select` takes.
        targets: Examples of what the model should be good at, 8 or more.
        model: Directory, GGUF file or hub id of the causal language model to fine-tune.
        minutes: How long it may take, about. A first step of training is measured; if the time is
            too short for what is asked for, that is an error, which says how long it would take.
        k: Rows of every selection; default as many as the time allows, from 20 to 200, and at most
            a fourth of the pool.
        encoder: A checkpoint directory or hub id; default the built-in encoder.
        trainable: Which weights move: all, last:N (the last N blocks) or lora:RANK.
        epochs: Passes over the rows.
        learning_rate: At the first step; falls linearly to zero.
        batch_size: Rows per step.
        separator: Between a prompt and a completion of text; nothing by default, as in TRL.
        max_tokens: Longer rows are cut.
        columns: Which field of a pool row is what, where that is not obvious; see `select`.
        target_columns: The same for the targets; default as for the pool.
        roles: Names of speakers in conversations to what they are; see `select`.
        on_bad_row: What to do with a row that cannot be read: error, or skip.
        output: Directory for trial.md, trial.json and, with the extra plots, trial.png.
        seed: Seed of the draws and the runs.
        progress: Show on standard error what is done.

    Returns:
        The losses, with intervals, and what they say.

    Raises:
        ArgumentError: Too few targets or rows, or too little time or memory.
        CurateError: Another of its kinds (see `airrep.errors`), with what to do about it.

    Example:
        >>> import curate
        >>> pool, targets = curate.demo_pool(80), curate.demo_targets("email_reply", 8)
        >>> found = curate.trial(pool, targets, model_directory, k=4, epochs=1)
        >>> [arm.name for arm in found.arms]
        ['no training', 'random rows', 'TF-IDF', 'selected']
    """
    began = time.perf_counter()
    check_seed(seed)
    _check_numbers(minutes, k)
    recipe = Recipe(epochs, learning_rate, batch_size, trainable)
    directory = None if output is None else user_path(output, "output")
    if directory is not None:
        check_apart(directory, {"pool": pool, "targets": targets, "model": model})
        check_own(directory, _RESULTS)
        check_writable(directory)
    own = columns if target_columns is None else target_columns
    choices = read_input(pool, "pool", with_roles(columns, roles), on_bad_row)
    asked = read_input(targets, "targets", with_roles(own, roles), on_bad_row)
    shown, held = _held_out(asked, seed)
    largest = k or max(1, min(_MOST_ROWS, len(choices.examples) // _POOL_SHARE))

    from airrep.language_model.model import LanguageModel  # here, because these bring torch
    from eval_harness.runners.memory import check_fits

    every = [*choices.examples, *asked.examples]
    check_fits(model, every, recipe, max_tokens, progress=progress)
    rows = asked.rows.dataset
    options: dict[str, Any] = {
        "test": rows.select([each.row for each in held]),
        "columns": columns,
        "target_columns": own,
        "roles": roles,
        "on_bad_row": on_bad_row,
        "seed": seed,
        "progress": progress,
    }
    shown_rows = rows.select([each.row for each in shown])
    mine = select(pool, shown_rows, largest, encoder=encoder, **options)
    words = select(pool, shown_rows, largest, scorer="tfidf", **options)
    loaded = LanguageModel.from_pretrained(model, separator=separator, max_tokens=max_tokens)
    runner, _ = choose_runner("auto", loaded, recipe, longest_tokens(loaded, every), stack=_ARMS)
    rankings = {
        name: [choices.example_at(row) for row in chosen.dataset["curate_row"][:]]
        for name, chosen in ((SELECTED, mine), (WORDS, words))
    }
    left = [choices.example_at(row) for row in mine.insight.rows.tolist()]
    work = _Work(runner, held, _labels(every, held))
    plan = work.planned(left, recipe, minutes * 60, time.perf_counter() - began, k, largest)
    announce(
        "trial",
        counted(len(held), "held-out target"),
        f"{counted(_ARMS * plan.repeats, 'run')} on {counted(plan.k, 'row')}",
        f"about {plan.seconds / 60:.0f} minutes",
        shown=progress,
    )
    for repeat in range(plan.repeats):
        drawn = np.random.default_rng([seed, repeat]).choice(len(left), plan.k, replace=False)
        arms = {name: ranked[: plan.k] for name, ranked in rankings.items()}
        work.train({**arms, RANDOM: [left[i] for i in drawn.tolist()]}, seed + repeat)
        if time.perf_counter() - began > minutes * 60:
            break
    losses = {name: np.array(found) for name, found in work.losses.items()}
    accuracies = {
        name: float(np.mean(found)) if found else None for name, found in work.right.items()
    }
    result = Trial.of(losses, accuracies, plan.k, time.perf_counter() - began)
    if directory is not None:
        with written_alone(directory):
            write_text(result.markdown + "\n", directory / "trial.md")
            write_json(directory / "trial.json", result.to_dict())
            plot_arms(result.arms, directory / "trial.png")
    return result


@dataclass(frozen=True)
class _Plan:
    k: int
    repeats: int
    seconds: float


class _Work:
    """Training on the rows of arms, and what it leaves on the held-out targets.

    Attributes:
        losses: Arm to the losses of each run.
        right: Arm to the share of right labels after each run; nothing without labels.
    """

    def __init__(
        self, runner: Runner, held: Sequence[Example], labels: Mapping[int, Sequence[str]]
    ) -> None:
        self._runner, self._held, self._labels = runner, held, labels
        self.losses: dict[str, list[npt.NDArray[np.float64]]] = {}
        self.right: dict[str, list[float]] = {}

    def planned(
        self,
        left: Sequence[Example],
        recipe: Recipe,
        allowed: float,
        spent: float,
        k: int | None,
        largest: int,
    ) -> _Plan:
        """How many rows, and how many runs of each arm, by the time that a step takes.

        Raises:
            ArgumentError: The time is too short.
        """
        from airrep.language_model.losses import completion_losses  # here, because it brings torch
        from eval_harness.runners.base import TrainingRun

        start = time.perf_counter()
        before = completion_losses(self._runner.model, self._held, dtype=recipe.precision)
        self._note(NO_TRAINING, before, self._runner.model)
        measuring = time.perf_counter() - start
        step = list(left[: recipe.batch_size])
        start = time.perf_counter()
        self._runner.train([TrainingRun(step, 0)])
        a_row = (time.perf_counter() - start) / (len(step) * recipe.epochs)

        def run(rows: int) -> float:
            return a_row * rows * recipe.epochs + measuring

        room = _PLANNED * (allowed - spent - measuring) / _ARMS
        fitting = [(room / repeats - measuring) / (a_row * recipe.epochs) for repeats in (2, 1)]
        enough = [int(rows) for rows in fitting if rows >= min(_FEWEST_ROWS, largest)]
        chosen = k or (min(enough[0], largest) if enough else min(_FEWEST_ROWS, largest))
        repeats = min(_MOST_REPEATS, int(room / run(chosen)))
        if repeats < 1:
            needed = math.ceil((_ARMS * run(chosen) / _PLANNED + spent + measuring) / 60)
            raise ArgumentError(
                f"minutes: training on {counted(chosen, 'row')} for each of {_ARMS} arms takes "
                f"about {counted(needed, 'minute')}, and {allowed / 60:g} are allowed. Allow more, "
                "or train less: trainable='last:2' or 'lora:16', a smaller k, shorter rows "
                "(max_tokens)."
            )
        return _Plan(chosen, repeats, _ARMS * repeats * run(chosen))

    def train(self, arms: Mapping[str, Sequence[Example]], seed: int) -> None:
        """One run of each arm."""
        from eval_harness.runners.base import TrainingRun  # here, because it brings torch

        names = list(arms)
        for part in _parts(names, self._runner.stack):
            trained = self._runner.train([TrainingRun(arms[name], seed) for name in part])
            found = trained.losses(self._held)
            models = trained.models() if self._labels else iter([None] * len(part))
            for name, losses, model in zip(part, found, models, strict=True):
                self._note(name, losses, model)

    def _note(
        self, name: str, losses: npt.NDArray[np.float64], model: LanguageModel | None
    ) -> None:
        self.losses.setdefault(name, []).append(losses)
        found = self.right.setdefault(name, [])
        if self._labels and model is not None:
            from eval_harness.measures.label_choice import rank_candidates  # it brings torch

            asked = [self._held[i] for i in self._labels]
            choices = rank_candidates(model, asked, list(self._labels.values())).tolist()
            right = (
                labels[choice] == example.completion
                for example, labels, choice in zip(
                    asked, self._labels.values(), choices, strict=True
                )
            )
            found.append(float(np.mean(list(right))))


def _check_numbers(minutes: float, k: int | None) -> None:
    if not (isinstance(minutes, int | float) and math.isfinite(minutes) and minutes > 0):
        raise ArgumentError(f"minutes should be a finite number > 0, found {minutes!r}.")
    if k is not None:
        check_count(k, "k")


def _held_out(asked: Input, seed: int) -> tuple[list[Example], list[Example]]:
    """Targets to select for, and targets whose losses are measured, both in the rows' order."""
    examples = list(asked.examples)
    if len(examples) < _FEWEST_TARGETS:
        raise ArgumentError(
            f"targets: half of them are held out, and {counted(len(examples), 'target')} are too "
            f"few for that; give {_FEWEST_TARGETS} or more."
        )
    order = np.random.default_rng(seed).permutation(len(examples))
    held = {*order[: min(_MOST_HELD_OUT, len(examples) // 2)].tolist()}
    return (
        [example for i, example in enumerate(examples) if i not in held],
        [example for i, example in enumerate(examples) if i in held],
    )


def _labels(every: Sequence[Example], held: Sequence[Example]) -> dict[int, Sequence[str]]:
    """Position of each held-out target that has labels, and these."""
    from eval_harness.measures.label_choice import label_sets, labels_of  # they bring torch

    sets = label_sets(every)
    found = labels_of(held, None, sets)
    return {
        i: labels
        for i, (example, labels) in enumerate(zip(held, found, strict=True))
        if labels is not None and example.prompt and example.completion in labels
    }


def _parts(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]
