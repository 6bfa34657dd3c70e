"""The verb `record`: what training on subsets of a pool does, measured.

OUTPUT/
plan.json, plan.safetensors, runs/   see `airrep.supervision`
model.json                           see `curate.stages.recorded_model`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

import numpy as np
import numpy.typing as npt

from airrep.console.progress import duration
from airrep.console.wording import counted
from airrep.disk.atomic import check_writable
from airrep.disk.paths import user_path
from airrep.errors import ArgumentError, RecordError
from airrep.machine.arguments import check_seed
from airrep.records import Example, with_roles
from airrep.supervision import SubsetLosses
from curate.rows.io import OnBadRow
from curate.stages.choosing import memory_of
from curate.stages.destination import check_apart
from curate.stages.inputs import Input, Source, read_input
from curate.stages.recorded_model import remember_model
from curate.stages.scorer_choice import load_model
from eval_harness.measures.reliability import FEWEST_SUBSETS, noise_ceiling
from eval_harness.runners.choice import RunnerName, check_runner_name, choose_runner
from eval_harness.runners.recipe import Precision, Recipe
from eval_harness.runs.subsets import (
    Draw,
    FewSources,
    Stratified,
    Uniform,
    default_size,
    default_subsets,
    draw_plan,
    subset_size,
)

if TYPE_CHECKING:
    from airrep.language_model.model import LanguageModel
    from airrep.language_model.tokens import Tokens

SubsetKind = Literal["uniform", "stratified", "few_sources"]
_MOST_SUBSETS = 100  # unless it is said


@dataclass(frozen=True, eq=False)
class RecordedLosses(SubsetLosses):
    """What the runs measured, and what there was before them.

    Attributes:
        before: Mean loss on each evaluation example of the model that was not trained, (E,).
        note: Why the models were not trained in stacks, if "auto" found that they should not be.
    """

    before: npt.NDArray[np.float64]
    note: str = ""

    def summary(self) -> str:
        """Runs, time, losses before and after, and the noise ceiling, in words."""
        plan, facts = self.plan, self.provenance
        sizes = sorted({len(subset) for subset in plan.subsets})
        rows = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
        together = f", {facts['stack']} models at once" if facts["stack"] > 1 else ""
        seconds = float(self.seconds.mean())
        lines = [
            f"runs    {len(plan.runs):,}: {counted(len(plan.subsets), 'subset')} "
            f"({', '.join(sorted(set(plan.kinds)))}) of {rows} of "
            f"{counted(len(plan.pool), 'pool row')}, {counted(plan.repeats, 'time')} each",
            f"runner  {facts['runner']} ({facts['precision']}{together}), {seconds:.3g} s a run",
            f"loss    {self.before.mean():.4f} before, {self.values.mean():.4f} after, on "
            f"{counted(len(plan.evaluation), 'evaluation row')}",
        ]
        if self.note:
            lines.insert(2, f"        not stacked: {self.note}")
        return "\n".join([*lines, *self._ceiling()])

    def _ceiling(self) -> list[str]:
        try:
            found = noise_ceiling(self.values)
        except ArgumentError as error:
            return [f"ceiling unknown: {error}"]
        if found is None:
            return ["ceiling unknown: only one run of each subset; --repeats 2 would show it"]
        return [
            f"ceiling {found.attainable:.2f}, the LDS of a method that knows every subset's "
            f"expected loss (two runs of a subset agree at {found.single:.2f} "
            f"[{found.low:.2f}, {found.high:.2f}])"
        ]


@dataclass(frozen=True)
class RecordCost:
    """What a plan of runs takes on this machine, by one that was measured.

    Attributes:
        runs: How many there are.
        seconds: How long each takes, losses included.
        memory: The most that the process has held, in bytes.
        runner: Name of what trained.
    """

    runs: int
    seconds: float
    memory: int
    runner: str

    def summary(self) -> str:
        """The same in words."""
        return (
            f"runs    {self.runs:,} by the {self.runner} runner, {self.seconds:.3g} s each: "
            f"{duration(self.runs * self.seconds)} by one process, and several processes share them"
            f"\nmemory  {self.memory / 2**30:.1f} GiB at most in the run that was measured"
        )


@overload
def record(
    pool: Source,
    evaluation: Source,
    model: str | Path,
    output: str | Path,
    *,
    dry_run: Literal[True],
    **options: Any,  # noqa: ANN401 (those of the whole)
) -> RecordCost: ...


@overload
def record(
    pool: Source,
    evaluation: Source,
    model: str | Path,
    output: str | Path,
    *,
    dry_run: Literal[False] = False,
    **options: Any,  # noqa: ANN401 (those of the whole)
) -> RecordedLosses: ...


def record(  # type: ignore[misc]  # the options of both are these
    pool: Source,
    evaluation: Source,
    model: str | Path,
    output: str | Path,
    *,
    subsets: int | None = None,
    size: float | None = None,
    kind: SubsetKind = "uniform",
    repeats: int = 2,
    epochs: int = 2,
    learning_rate: float = 2e-5,
    batch_size: int = 32,
    trainable: str = "all",
    precision: Precision = "auto",
    runner: RunnerName = "auto",
    stack: int = 8,
    compiled: bool = False,
    memory_limit: str | int | None = None,
    separator: str = "",
    max_tokens: int = 1024,
    columns: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    evaluation_columns: Mapping[str, str] | None = None,
    on_bad_row: OnBadRow = "error",
    seed: int = 0,
    dry_run: bool = False,
    progress: bool = False,
) -> RecordedLosses | RecordCost:
    """Fine-tune a model on many subsets of a pool and record the losses on held-out rows.

    Finished runs are kept: the same command goes on where it stopped, and several at once share
    the runs.

    Args:
        pool: Rows to train on; anything that `select` takes.
        evaluation: Held-out rows whose losses are measured; none of them may be in the pool.
        model: Directory, GGUF file or hub id of the causal language model to fine-tune.
        output: Directory for the runs; `lds` reads it.
        subsets: How many to draw, 3 or more; default 100, or of a small pool as many as have each
            row in 20 of them, but at least 10.
        size: Rows in each: a number, or a fraction of the pool (below 1); default 100, or a third
            of the pool.
        kind: How subsets are drawn: uniform; stratified, every source with its share of the pool;
            or few_sources, rows of 1 to 4 sources only, as selections are.
        repeats: Runs of each subset, with other seeds; 2 or more show how noisy losses are.
        epochs: Passes over a subset's rows.
        learning_rate: At the first step; falls linearly to zero.
        batch_size: Rows per step.
        trainable: Which weights move: all, last:N (the last N blocks) or lora:RANK.
        precision: Precision of the computation: float32, bfloat16, or auto, bfloat16 where the
            hardware has it. Weights are float32.
        runner: How models are trained: direct (one by one), stacked (several at once), trl (one by
            one, by TRL's own trainer), or auto: stacked for small models that can be taken apart,
            direct for others.
        stack: For the stacked runner: models trained at once; bounds memory.
        compiled: For the direct runner: let torch.compile fuse each block, which takes a minute
            and a C++ compiler, and saves a fifth of every run after that (docs/benchmarks.md).
        memory_limit: Bytes, or "8GB": what a run of the direct runner may take; default three
            quarters of what is free. What does not fit is refused before anything is loaded.
        separator: Between a prompt and a completion of text; nothing by default, as in TRL.
        max_tokens: Longer rows are cut.
        columns: Which field of a pool row is what, where that is not obvious; see `select`.
        roles: Names of speakers in conversations to what they are; see `select`.
        evaluation_columns: The same for the evaluation rows; default as for the pool.
        on_bad_row: What to do with a row that cannot be read: error, or skip.
        seed: Seed of the subsets and the runs.
        dry_run: Measure one run, and say what all of them take; nothing is recorded.
        progress: Show a progress bar.

    Returns:
        The losses after every run, and before; of a dry run, what the plan takes.

    Raises:
        CurateError: One of its kinds (see `airrep.errors`), with what to do about it.

    Example:
        >>> import curate
        >>> pool, targets = curate.demo_pool(80), curate.demo_targets("email_reply", 2)
        >>> runs = curate.record(pool, targets, model_directory, "runs", subsets=3, size=4)
        >>> runs.values.shape  # (subsets, repeats, evaluation rows)
        (3, 2, 2)
    """
    check_runner_name(runner)
    recipe = Recipe(epochs, learning_rate, batch_size, trainable, precision)
    if (subsets is not None and subsets < FEWEST_SUBSETS) or stack < 1:
        raise ArgumentError(
            f"expected at least {FEWEST_SUBSETS} subsets (LDS ranks them) and a stack of 1 or "
            f"more, found {subsets} and {stack}."
        )
    check_seed(seed)
    directory = user_path(output, "output")
    check_apart(directory, {"pool": pool, "evaluation": evaluation, "model": model})
    if not dry_run:
        check_writable(directory)
    trained_on = read_input(pool, "pool", with_roles(columns, roles), on_bad_row)
    wanted = with_roles(columns if evaluation_columns is None else evaluation_columns, roles)
    judged_on = read_input(evaluation, "evaluation", wanted, on_bad_row)
    examples, held_out = list(trained_on.examples), list(judged_on.examples)
    many = default_size(len(examples)) if size is None else subset_size(size, len(examples))
    draw = _draw(kind, many, examples)
    number = subsets or default_subsets(len(examples), many, _MOST_SUBSETS)
    plan = draw_plan(examples, held_out, [(draw, number)], repeats=repeats, seed=seed)
    if (directory / "plan.json").exists():
        plan.save(directory)  # refuses another plan before a model is loaded

    from eval_harness.runners.memory import (  # here, because they bring torch
        check_fits,
        peak_memory,
    )
    from eval_harness.runs.subset_runs import run_subsets, seconds_of_a_run

    check_fits(
        model,
        [*examples, *held_out],
        recipe,
        max_tokens,
        None if memory_limit is None else memory_of(memory_limit),
        runner=runner,
        compiled=compiled,
        progress=progress,
    )
    loaded = load_model(model, separator=separator, max_tokens=max_tokens)
    tokens = _tokens(loaded, trained_on) + _tokens(loaded, judged_on)
    longest = max(tokens, key=lambda each: len(each.ids))
    chosen, note = choose_runner(runner, loaded, recipe, longest, stack, compiled=compiled)
    if dry_run:
        seconds = seconds_of_a_run(plan, examples, held_out, chosen)
        return RecordCost(len(plan.runs), seconds, peak_memory(), chosen.name)
    plan.save(directory)
    before = remember_model(directory, model, loaded, held_out, precision)
    losses = run_subsets(plan, examples, held_out, chosen, directory, progress=progress)
    return RecordedLosses(
        losses.plan, losses.values, losses.provenance, losses.seconds, before, note
    )


def _draw(kind: str, size: int, pool: Sequence[Example]) -> Draw:
    if kind not in get_args(SubsetKind):
        raise ArgumentError(
            f"kind {kind!r} is unknown; choose from {', '.join(get_args(SubsetKind))}."
        )
    if kind == "uniform":
        return Uniform(size)
    sources = {example.source for example in pool}
    if len(sources) < 2:
        raise ArgumentError(
            f"kind {kind!r} needs pool rows of at least 2 sources; all say {sources.pop()!r}. Name "
            "the field that tells them apart, columns={'source': ...} (--columns.source ...), or "
            "give one file per source."
        )
    return Stratified(size) if kind == "stratified" else FewSources(size)


def _tokens(model: LanguageModel, given: Input) -> list[Tokens]:
    """All examples' tokens; what is wrong with one is said with its file and row."""
    try:
        return model.tokenize(given.examples)
    except RecordError:
        for example in given.examples:
            try:
                model.tokenize([example])
            except RecordError as error:
                file, row = given.rows.place(example.row)
                error.at(f"{file}, row {row} (counting from 0)")
                raise
        raise
