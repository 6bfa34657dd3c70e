"""A benchmark from start to end; every stage resumes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from airrep.atomic import atomic_file, check_writable, write_json
from airrep.errors import CheckpointError, OutputError
from airrep.language_model import LanguageModel
from eval_harness.benchmark.attribution import (
    Attribution,
    ceiling_row,
    cheap_truth,
    differences,
    evaluate_methods,
)
from eval_harness.benchmark.config import BenchmarkConfig
from eval_harness.benchmark.methods import Method, ScoreFiles, make_method
from eval_harness.benchmark.problems import Problems, Rows
from eval_harness.benchmark.tables import (
    attribution_markdown,
    cheap_markdown,
    differences_markdown,
    summarise_trials,
    trials_markdown,
)
from eval_harness.benchmark.trials import Trials
from eval_harness.recipe import Recipe
from eval_harness.runners.base import Runner
from eval_harness.runners.stacked import StackedRunner
from eval_harness.runners.trl import TrlRunner


@dataclass(frozen=True, eq=False)
class BenchmarkResult:
    """What a benchmark found.

    Attributes:
        directory: Where everything is written.
        attribution: A row per method: LDS with interval, cost; empty without that part.
        trials: A row per problem, budget and arm: the tidy results; empty without that part.
        markdown: All tables.
    """

    directory: Path
    attribution: list[dict[str, Any]] = field(repr=False)
    trials: pd.DataFrame = field(repr=False)
    markdown: str = field(repr=False)

    def __str__(self) -> str:
        return self.markdown


def run_benchmark(
    config: BenchmarkConfig,
    pool: Rows,
    targets: Rows,
    test: Rows,
    directory: str | Path,
    *,
    progress: bool = False,
) -> BenchmarkResult:
    """Measure every method of a config; see `BenchmarkConfig` for what is compared.

    Finished runs and trials are kept, so a killed benchmark goes on, and several processes can
    work on one directory. A directory belongs to one config.

    Args:
        config: What to compare.
        pool: Rows to choose from.
        targets: Rows that targets and validation examples are drawn from.
        test: Rows that figures are reported on.
        directory: For runs, scores, trials and the results: attribution.parquet, trials.parquet,
            results.md and plots.
        progress: Show progress bars on standard error.

    Raises:
        CurateError: One of its kinds; see the stages.
    """
    directory = Path(directory)
    check_writable(directory)
    _claim(directory, config)
    model = LanguageModel.from_pretrained(
        config.model, separator=config.separator, max_tokens=config.max_tokens
    )
    names = set(config.methods)
    if config.selection is not None:
        names |= {*config.selection.scorers, *config.selection.selectors_with}
    methods = {
        name: make_method(name, config.methods.get(name, {}), model) for name in sorted(names)
    }
    files = ScoreFiles(directory / "scores")
    texts: list[str] = []
    attributed: list[dict[str, Any]] = []
    if config.attribution is not None:
        attributed, text = _attribution(
            config, model, pool, targets, test, methods, files, directory, progress
        )
        texts.append(text)
        _write_table(pd.DataFrame(attributed), directory / "attribution.parquet")
    tried = pd.DataFrame()
    if config.selection is not None:
        runner = make_runner(model, config.recipe, config.runner, config.stack)
        problems = Problems(pool, targets, test, config.selection, config.seed)
        rows = Trials(config.selection, problems, methods, files, runner, directory).run(
            progress=progress
        )
        tried = pd.DataFrame(rows)
        _write_table(tried, directory / "trials.parquet")
        texts.append("## Downstream\n\n" + trials_markdown(summarise_trials(rows)))
    markdown = "\n\n".join(texts) + "\n"
    with atomic_file(directory / "results.md") as temporary:
        temporary.write_text(markdown, "utf-8")
    return BenchmarkResult(directory, attributed, tried, markdown)


def make_runner(model: LanguageModel, recipe: Recipe, name: str, stack: int) -> Runner:
    """A runner by name; "auto" is the stacked one where the model can be taken apart.

    Raises:
        CheckpointError: The stacked runner was asked for, and the model cannot be.
    """
    if name == "trl":
        return TrlRunner(model, recipe)
    try:
        return StackedRunner(model, recipe, stack)
    except CheckpointError:
        if name == "stacked":
            raise
        return TrlRunner(model, recipe)


def _attribution(
    config: BenchmarkConfig,
    model: LanguageModel,
    pool: Rows,
    targets: Rows,
    test: Rows,
    methods: dict[str, Method],
    files: ScoreFiles,
    directory: Path,
    progress: bool,
) -> tuple[list[dict[str, Any]], str]:
    assert config.attribution is not None
    part = Attribution.draw(
        config.attribution, pool.examples, targets.examples, test.examples, directory, config.seed
    )
    runner = make_runner(model, config.recipe, config.runner, config.stack)
    measured = part.record(runner, progress=progress)
    rows, predicted = evaluate_methods(part, measured, list(methods.values()), files)
    best = max(rows, key=lambda row: row["validation"])["method"]
    gaps = [
        {"method": name, "difference": d.mean, "difference_low": d.low, "difference_high": d.high}
        for name, d in differences(predicted, part.losses(measured, "test"), best).items()
    ]
    cheap = []
    for trainable in config.attribution.cheap:
        recipe = replace(config.recipe, trainable=trainable)
        cheaper = make_runner(model, recipe, config.runner, 4 * config.stack)
        found = cheap_truth(part, measured, part.record(cheaper, progress=progress))
        cheap.append({"trainable": trainable, **found})
    ceiling = ceiling_row(part, measured)
    write_json(
        directory / "attribution.json",
        {"ceiling": ceiling, "cheap": cheap, "differences": {"against": best, "rows": gaps}},
    )
    texts = ["## Attribution", attribution_markdown(rows, ceiling)]
    if gaps:
        texts.append(differences_markdown(gaps, best))
    if cheap:
        texts.append(cheap_markdown(cheap))
    return rows, "\n\n".join(texts)


def _claim(directory: Path, config: BenchmarkConfig) -> None:
    """Bind the directory to what determines its trials."""
    file = directory / "config.json"
    mine = json.loads(json.dumps(asdict(config)))
    if file.exists():
        known = json.loads(file.read_text("utf-8"))
        changed = sorted(key for key in mine if mine[key] != known.get(key))
        if changed:
            raise OutputError(
                f"{directory}: holds another benchmark ({', '.join(changed)} differ); use another "
                "directory, or delete this one."
            )
        return
    write_json(file, mine)


def _write_table(table: pd.DataFrame, file: Path) -> None:
    with atomic_file(file) as temporary:
        table.to_parquet(temporary, index=False)
