"""A benchmark from start to end; every stage resumes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from airrep.atomic import atomic_file, check_writable, write_json
from airrep.errors import OutputError
from airrep.language_model import LanguageModel
from airrep.records import Example
from airrep.supervision import SubsetLosses
from eval_harness.benchmark.attribution import (
    Attribution,
    ceiling_row,
    cheap_truth,
    differences,
    evaluate_methods,
)
from eval_harness.benchmark.config import BenchmarkConfig
from eval_harness.benchmark.methods import Method, ScoreFiles, make_method
from eval_harness.benchmark.plots import plot_attribution, plot_trials
from eval_harness.benchmark.problems import Problems, Rows, check_disjoint
from eval_harness.benchmark.tables import (
    attribution_markdown,
    cheap_markdown,
    differences_markdown,
    selectors_markdown,
    summarise_trials,
    trials_markdown,
)
from eval_harness.benchmark.trials import Trials
from eval_harness.recipe import Recipe
from eval_harness.runner_choice import choose_runner
from eval_harness.runners.base import Runner, provenance


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
    work on one directory. A directory belongs to one config, its rows, its model and the
    precision of its machine.

    Args:
        config: What to compare.
        pool: Rows to choose from.
        targets: Rows that targets and validation examples are drawn from.
        test: Rows that figures are reported on.
        directory: For runs, scores, trials and the results: attribution.parquet, trials.parquet,
            results.md, and plots where matplotlib is installed.
        progress: Show progress bars on standard error.

    Raises:
        ArgumentError: A row is in two of the files, or the rows do not allow what is asked.
        OutputError: The directory holds another benchmark.
        CurateError: Another of its kinds; see the stages.
    """
    directory = Path(directory)
    check_disjoint(pool, targets, test)
    check_writable(directory)
    model = LanguageModel.from_pretrained(
        config.model, separator=config.separator, max_tokens=config.max_tokens
    )
    longest = max((e for rows in (pool, targets, test) for e in rows.examples), key=_length)
    runner_for = partial(_make_runner, config, model, longest)
    runner, note = runner_for(config.recipe, config.stack)
    methods = {
        name: make_method(name, config.methods.get(name, {}), model) for name in config.method_names
    }
    files = ScoreFiles(directory / "scores")
    part = trials = None
    if config.attribution is not None:
        part = Attribution.draw(
            config.attribution, pool.examples, targets.examples, test.examples, directory,
            config.seed,
        )  # fmt: skip
    if config.selection is not None:
        problems = Problems(pool, targets, test, config.selection, config.seed)
        trials = Trials(config.selection, problems, methods, files, runner, directory)
        trials.check()
    # Only now, so that a config that cannot be run can be mended and run again.
    _claim(directory / "config.json", json.loads(json.dumps(asdict(config))))
    rows_read = {"pool": pool.digest, "targets": targets.digest, "test": test.digest}
    _claim(directory / "inputs.json", {**rows_read, **provenance(runner)})
    texts = [f"Trained with TRL: {note}"] if note else []
    attributed: list[dict[str, Any]] = []
    if part is not None:
        measured = part.record(runner, progress=progress)
        cheap = []
        for trainable in part.config.cheap:
            recipe = replace(config.recipe, trainable=trainable)
            cheaper = part.record(runner_for(recipe, 4 * config.stack)[0], progress=progress)
            cheap.append({"trainable": trainable, **cheap_truth(part, measured, cheaper)})
        attributed, text = _attribution(part, measured, cheap, list(methods.values()), files)
        texts.append(text)
    tried = pd.DataFrame()
    if trials is not None:
        rows = trials.run(progress=progress)
        tried = pd.DataFrame(rows)
        _write_table(tried, directory / "trials.parquet")
        summary = summarise_trials(rows)
        texts.append("## Downstream\n\n" + trials_markdown(summary))
        for scorer in trials.config.selectors_with if trials.config.selectors else []:
            texts.append(
                f"### Selectors on the scores of {scorer}\n\n"
                + selectors_markdown(rows, scorer, trials.config.selector)
            )
        if _can_draw():
            plot_trials(summary, directory / "trials.png")
    markdown = "\n\n".join(texts) + "\n"
    with atomic_file(directory / "results.md") as temporary:
        temporary.write_text(markdown, "utf-8")
    return BenchmarkResult(directory, attributed, tried, markdown)


def _make_runner(
    config: BenchmarkConfig, model: LanguageModel, longest: Example, recipe: Recipe, stack: int
) -> tuple[Runner, str]:
    return choose_runner(config.runner, model, recipe, model.tokenise([longest])[0], stack)


def _attribution(
    part: Attribution,
    measured: SubsetLosses,
    cheap: list[dict[str, Any]],
    methods: list[Method],
    files: ScoreFiles,
) -> tuple[list[dict[str, Any]], str]:
    """The part's rows and its Markdown, which are written."""
    rows, predicted = evaluate_methods(part, measured, methods, files)
    best = max(rows, key=lambda row: row["validation"])["method"]
    gaps = [
        {"method": name, "difference": d.mean, "difference_low": d.low, "difference_high": d.high}
        for name, d in differences(predicted, part.losses(measured, "test"), best).items()
    ]
    ceiling = ceiling_row(part, measured)
    _write_table(pd.DataFrame(rows), part.directory / "attribution.parquet")
    write_json(
        part.directory / "attribution.json",
        {"ceiling": ceiling, "cheap": cheap, "differences": {"against": best, "rows": gaps}},
    )
    if _can_draw():
        plot_attribution(rows, ceiling, part.directory / "attribution.png")
    texts = ["## Attribution", attribution_markdown(rows, ceiling)]
    if gaps:
        texts.append(differences_markdown(gaps, best))
    if cheap:
        texts.append(cheap_markdown(cheap))
    return rows, "\n\n".join(texts)


def _length(example: Example) -> int:
    return len(example.prompt) + len(example.completion)


def _can_draw() -> bool:
    return find_spec("matplotlib") is not None  # the extra `plots`


def _claim(file: Path, mine: dict[str, Any]) -> None:
    """Bind the directory to what determines its trials, of which `file` is the record."""
    if not file.exists():
        write_json(file, mine)
        return
    known = json.loads(file.read_text("utf-8"))
    changed = sorted(key for key in mine if mine[key] != known.get(key))
    if changed:
        raise OutputError(
            f"{file.parent}: holds another benchmark ({file.name}: {', '.join(changed)} differ); "
            "use another directory, or delete this one."
        )


def _write_table(table: pd.DataFrame, file: Path) -> None:
    with atomic_file(file) as temporary:
        table.to_parquet(temporary, index=False)
