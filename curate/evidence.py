"""The verbs that measure: `record` what training on subsets does, `lds` of scores against it.

OUTPUT/
plan.json, plan.safetensors, runs/   see `airrep.supervision`
model.json                           see `curate.recorded_model`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from airrep.atomic import check_writable
from airrep.errors import (
    ArgumentError,
    RecordError,
)
from airrep.paths import user_path
from airrep.pooling_kind import POOLINGS, Pooling
from airrep.records import Example
from airrep.seeds import check_seed
from airrep.supervision import SubsetLosses
from airrep.wording import counted
from curate.destination import check_apart
from curate.inputs import Source
from curate.io import OnBadRow, Rows, read_rows
from curate.own_scores import check_shape, own_scores
from curate.recorded_model import recorded_model, remember_model
from curate.scorer_choice import ScorerName, check_scorer, load_model, make_scorer, uses_model
from eval_harness.lds import LdsResult
from eval_harness.lds import lds as datamodeling_score
from eval_harness.recipe import Precision, Recipe
from eval_harness.reliability import noise_ceiling
from eval_harness.runner_choice import RunnerName, check_runner_name, choose_runner
from eval_harness.subsets import (
    Draw,
    FewSources,
    Stratified,
    Uniform,
    draw_plan,
    subset_size,
)

if TYPE_CHECKING:
    from airrep.language_model import LanguageModel, Tokens
    from selection.scorers import Scorer
    from selection.scorers.embedding import Encoder
    from selection.scores import ScoreMatrix

SubsetKind = Literal["uniform", "stratified", "few_sources"]
_FEWEST = 3  # subsets that can be ranked


@dataclass(frozen=True, eq=False)
class RecordedLosses(SubsetLosses):
    """What the runs measured, and what there was before them.

    Attributes:
        before: Mean loss on each evaluation example of the model that was not trained, (E,).
        note: Why the models were not trained in stacks, if "auto" found that they cannot be.
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


def record(
    pool: Source,
    evaluation: Source,
    model: str | Path,
    output: str | Path,
    *,
    subsets: int = 100,
    size: float = 100.0,
    kind: SubsetKind = "uniform",
    repeats: int = 2,
    epochs: int = 2,
    learning_rate: float = 2e-5,
    batch_size: int = 32,
    trainable: str = "all",
    precision: Precision = "auto",
    runner: RunnerName = "auto",
    stack: int = 8,
    separator: str = "\n",
    max_tokens: int = 1024,
    columns: Mapping[str, str] | None = None,
    evaluation_columns: Mapping[str, str] | None = None,
    on_bad_row: OnBadRow = "error",
    seed: int = 0,
    progress: bool = False,
) -> RecordedLosses:
    """Fine-tune a model on many subsets of a pool and record the losses on held-out rows.

    Finished runs are kept: the same command goes on where it stopped, and several at once share
    the runs.

    Args:
        pool: Rows to train on; anything that `select` takes.
        evaluation: Held-out rows whose losses are measured; none of them may be in the pool.
        model: Directory or hub id of the causal language model to fine-tune.
        output: Directory for the runs; `lds` reads it.
        subsets: How many to draw; 3 or more.
        size: Rows in each: a number, or a fraction of the pool (below 1).
        kind: How subsets are drawn: uniform; stratified, every source with its share of the pool;
            or few_sources, rows of 1 to 4 sources only, as selections are.
        repeats: Runs of each subset, with other seeds; 2 or more show how noisy losses are.
        epochs: Passes over a subset's rows.
        learning_rate: At the first step; falls linearly to zero.
        batch_size: Rows per step.
        trainable: Which weights move: all, last:N (the last N blocks) or lora:RANK.
        precision: Of the computation: float32, bfloat16, or auto, bfloat16 where the hardware has
            it. Weights are float32.
        runner: How models are trained: stacked (several at once), trl (one by one, any model), or
            auto, stacked where the model can be taken apart.
        stack: For the stacked runner: models trained at once; bounds memory.
        separator: Between prompt and completion, for models without a chat template; default a
            newline.
        max_tokens: Longer rows are cut.
        columns: Which field of a pool row is what, where that is not obvious; see `select`.
        evaluation_columns: The same for the evaluation rows; default as for the pool.
        on_bad_row: What to do with a row that cannot be read: error, or skip.
        seed: Of the subsets and the runs.
        progress: Show a progress bar.

    Returns:
        The losses after every run, and before.

    Raises:
        CurateError: One of its kinds (see `airrep.errors`), with what to do about it.
    """
    check_runner_name(runner)
    recipe = Recipe(epochs, learning_rate, batch_size, trainable, precision)
    if subsets < _FEWEST or stack < 1:
        raise ArgumentError(
            f"expected at least {_FEWEST} subsets (LDS ranks them) and a stack of 1 or more, found "
            f"{subsets} and {stack}."
        )
    check_seed(seed)
    directory = user_path(output, "output")
    check_apart(directory, {"pool": pool, "evaluation": evaluation, "model": model})
    check_writable(directory)
    pool_rows, examples = _read(pool, "pool", columns, on_bad_row)
    wanted = columns if evaluation_columns is None else evaluation_columns
    evaluation_rows, held_out = _read(evaluation, "evaluation", wanted, on_bad_row)
    draw = _draw(kind, subset_size(size, len(examples)), examples)
    plan = draw_plan(examples, held_out, [(draw, subsets)], repeats=repeats, seed=seed)
    if (directory / "plan.json").exists():
        plan.save(directory)  # refuses another plan before a model is loaded

    from eval_harness.subset_runs import run_subsets  # here, because it brings torch

    loaded = load_model(model, separator=separator, max_tokens=max_tokens)
    tokens = _tokens(loaded, examples, pool_rows) + _tokens(loaded, held_out, evaluation_rows)
    longest = max(tokens, key=lambda each: len(each.ids))
    chosen, note = choose_runner(runner, loaded, recipe, longest, stack)
    plan.save(directory)
    before = remember_model(directory, model, loaded, held_out, precision)
    losses = run_subsets(plan, examples, held_out, chosen, directory, progress=progress)
    return RecordedLosses(
        losses.plan, losses.values, losses.provenance, losses.seconds, before, note
    )


def lds(
    runs: str | Path,
    pool: Source,
    evaluation: Source,
    *,
    scorer: ScorerName | Sequence[ScorerName] | Scorer = "airrep",
    scores: str | Path | npt.NDArray[np.floating] | None = None,
    encoder: str | Path | Encoder | None = None,
    model: str | Path | LanguageModel | None = None,
    pooling: Pooling = "attention",
    scale: float | None = None,
    draws: int = 1000,
    confidence: float = 0.95,
    columns: Mapping[str, str] | None = None,
    evaluation_columns: Mapping[str, str] | None = None,
    on_bad_row: OnBadRow = "error",
    seed: int = 0,
    progress: bool = False,
) -> LdsResult:
    """Compare scores with recorded runs: their linear datamodeling score (LDS).

    Args:
        runs: Directory that `record` wrote.
        pool: The rows that were trained on; as they were given to `record`.
        evaluation: The rows whose losses were measured; as they were given to `record`.
        scorer: Whose scores: airrep, tfidf, bm25, random, rds, gradient, gradient_cosine or
            gradient_adam; or a list of several, [airrep, gradient], for the mean of their
            standardised scores.
        scores: Scores of your own, in place of a scorer: a .npy file (evaluation rows × pool rows)
            in the order of the rows; larger means that training on the row lowers the loss more.
        encoder: For the airrep scorer: a checkpoint directory or hub id; default the built-in one.
        model: Directory or hub id of the model that was fine-tuned, if it is not where it was; it
            has to be the same one.
        pooling: How the scores of a subset's rows become one number: attention, sum or mean.
        scale: Inverse temperature of the attention; default the scorer's own, 1 for own scores.
        draws: Bootstrap resamples for the interval; 0 for none.
        confidence: Of the interval.
        columns: Which field of a pool row is what; as for `record`.
        evaluation_columns: The same for the evaluation rows; default as for the pool.
        on_bad_row: What to do with a row that cannot be read: error, or skip; as for `record`.
        seed: Of the resampling, the random scorer and the projections of gradients.
        progress: Show a progress bar.

    Returns:
        LDS with its interval and, if subsets were run twice or more, the noise ceiling.

    Raises:
        CurateError: One of its kinds (see `airrep.errors`), with what to do about it.
    """
    if pooling not in POOLINGS:
        raise ArgumentError(f"pooling {pooling!r} is unknown; choose from {', '.join(POOLINGS)}.")
    if scores is not None and scorer != "airrep":
        raise ArgumentError(
            f"scores and scorer {getattr(scorer, 'name', scorer)!r} are both given; leave out one."
        )
    by_model = uses_model(scorer)
    check_scorer(scorer, "given" if by_model else None)
    check_seed(seed)
    directory = user_path(runs, "runs")
    recorded = SubsetLosses.load(directory)
    examples = _read(pool, "pool", columns, on_bad_row)[1]
    wanted = columns if evaluation_columns is None else evaluation_columns
    held_out = _read(evaluation, "evaluation", wanted, on_bad_row)[1]
    recorded.plan.check(examples, held_out)
    loaded = None
    if by_model or model is not None:
        loaded = recorded_model(directory, recorded, model)
    everyone = np.arange(len(held_out))
    positions = recorded.plan.roles.get("test", everyone)  # all, unless drawn with other roles
    if scores is not None:
        values: npt.NDArray[Any] | ScoreMatrix = own_scores(scores, (len(held_out), len(examples)))[
            positions
        ]
    else:
        scorer = make_scorer(
            scorer, encoder=encoder, model=loaded if by_model else None, seed=seed,
            progress=progress,
        )  # fmt: skip
        values = scorer.score([held_out[i] for i in positions.tolist()], examples)
        check_shape(scorer.name, values.shape, (len(positions), len(examples)))
    return datamodeling_score(
        values, recorded.plan.subsets, recorded.values[:, :, positions], pooling,
        scale=scale, draws=draws, confidence=confidence, seed=seed,
    )  # fmt: skip


def _read(
    given: Source, name: str, columns: Mapping[str, str] | None, on_bad_row: OnBadRow
) -> tuple[Rows, list[Example]]:
    rows = read_rows(given, name)
    return rows, rows.examples(columns, on_bad_row)[0]


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


def _tokens(model: LanguageModel, examples: Sequence[Example], rows: Rows) -> list[Tokens]:
    """All examples' tokens; what is wrong with one is said with its file and row."""
    try:
        return model.tokenise(examples)
    except RecordError:
        for example in examples:
            try:
                model.tokenise([example])
            except RecordError as error:
                file, row = rows.place(example.row)
                raise RecordError(f"{file}, row {row} (counting from 0): {error}") from error
        raise
