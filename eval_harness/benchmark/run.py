"""A benchmark from start to end; every stage resumes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from airrep.console.progress import announce
from airrep.console.wording import counted
from airrep.disk.atomic import check_writable
from airrep.disk.paths import user_path
from airrep.language_model.model import LanguageModel
from eval_harness.benchmark.attribution import Attribution, cheap_truth, report_attribution
from eval_harness.benchmark.config import BenchmarkConfig
from eval_harness.benchmark.methods import ScoreFiles, make_method
from eval_harness.benchmark.plots import plot_trials
from eval_harness.benchmark.problems import Problems, Rows
from eval_harness.benchmark.tables import selectors_markdown, summarize_trials, trials_markdown
from eval_harness.benchmark.trials import Trials
from eval_harness.files.outputs import (
    CHECKSUMS,
    check_own,
    claim,
    write_checksums,
    write_table,
    write_text,
    written_alone,
)
from eval_harness.runners.base import provenance
from eval_harness.runners.choice import choose_runner, longest_tokens
from eval_harness.runners.memory import check_fits
from eval_harness.runs.held_out import check_disjoint
from selection.selectors.base import AUTO

_RESULTS = (
    "attribution.parquet",
    "attribution.json",
    "attribution.png",
    "trials.parquet",
    "trials.png",
    "results.md",
)


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
        pool: See `BenchmarkConfig`; as are `targets` and `test`.
        targets: Rows of the targets file.
        test: Rows of the test file.
        directory: For runs, scores, trials and results (`curate.benchmark` lists them).
        progress: Show progress bars on standard error.

    Raises:
        ArgumentError: A row is in two of the files, or the rows do not allow what is asked.
        OutputError: The directory holds another benchmark, or files of one's own that results
            would replace.
        CurateError: Another of its kinds; see the stages.
    """
    directory = user_path(directory, "output")
    check_own(directory, [*_RESULTS, "scores", "trials"])
    files_read = {"pool": pool, "targets": targets, "test": test}
    check_disjoint({name: rows.examples for name, rows in files_read.items()})
    check_writable(directory)
    config = _settled(config, *(len(rows.examples) for rows in files_read.values()))
    every = [example for rows in files_read.values() for example in rows.examples]
    check_fits(
        config.model,
        every,
        config.recipe,
        config.max_tokens,
        runner=config.runner,
        progress=progress,
    )
    model = LanguageModel.from_pretrained(
        config.model, separator=config.separator, max_tokens=config.max_tokens
    )
    longest = longest_tokens(model, every)
    runner, note = choose_runner(config.runner, model, config.recipe, longest, config.stack)
    methods = {
        name: make_method(
            name, config.methods.get(name, {}), model, config.methods, progress=progress
        )
        for name in config.method_names
    }
    files = ScoreFiles(directory / "scores")
    part = trials = None
    if config.attribution is not None:
        examples = (pool.examples, targets.examples, test.examples)
        part = Attribution.draw(config.attribution, *examples, directory, config.seed)
    if config.selection is not None:
        problems = Problems(pool, targets, test, config.selection, config.seed)
        trials = Trials(config.selection, problems, methods, files, runner, directory)
        trials.check()
    # Only now, so that a config that cannot be run can be mended and run again.
    claim(directory / "config.json", _stated(config), "benchmark")
    digests = {name: rows.digest for name, rows in files_read.items()}
    claim(directory / "inputs.json", {**digests, **provenance(runner)}, "benchmark")
    on_subsets = 0 if part is None else len(part.plan.runs) * (1 + len(part.config.cheap))
    on_selections = 0 if trials is None else len(trials.jobs) * len(trials.arms)
    announce(
        "benchmark",
        f"{counted(on_subsets, 'run')} on subsets" if on_subsets else "",
        f"{counted(on_selections, 'run')} on selections" if on_selections else "",
        f"rows scored by {counted(len(methods), 'method')}",
        shown=progress,
    )
    texts = [f"Trained one at a time: {note}"] if note else []
    report = None
    if part is not None:
        measured = part.record(runner, progress=progress)
        cheap = []
        for trainable in part.config.cheap:
            recipe = replace(config.recipe, trainable=trainable)
            runs, _ = choose_runner(config.runner, model, recipe, longest, 4 * config.stack)
            cheaper = part.record(runs, progress=progress)
            cheap.append({"trainable": trainable, **cheap_truth(part, measured, cheaper)})
        report = report_attribution(part, measured, list(methods.values()), files, cheap=cheap)
        with written_alone(directory):
            if not (directory / CHECKSUMS).exists():  # already now, because trials take long
                report.write(directory)
        texts.append("## Attribution\n\n" + report.markdown)
    tried, summary = pd.DataFrame(), pd.DataFrame()
    if trials is not None:
        rows = trials.run(progress=progress)
        tried, summary = _table(rows), summarize_trials(rows)
        texts.append("## Downstream\n\n" + trials_markdown(summary))
        for scorer in trials.config.selectors_with if trials.config.selectors else []:
            texts.append(
                f"### Selectors on the scores of {scorer}\n\n"
                + selectors_markdown(rows, scorer, trials.selector_of(scorer))
            )
    markdown = "\n\n".join(texts) + "\n"
    with written_alone(directory):
        if report is not None:
            report.write(directory)
        if trials is not None:
            write_table(tried, directory / "trials.parquet")
            plot_trials(summary, directory / "trials.png")
        write_text(markdown, directory / "results.md")
        write_checksums(directory, [directory / name for name in _RESULTS])
    return BenchmarkResult(directory, [] if report is None else report.rows, tried, markdown)


def _settled(config: BenchmarkConfig, pool: int, targets: int, test: int) -> BenchmarkConfig:
    """The config with numbers for all that it left open."""
    if config.attribution is None:
        return config
    sizes = config.attribution.sizes(pool, targets, test)
    return replace(config, attribution=replace(config.attribution, **asdict(sizes)))


def _stated(config: BenchmarkConfig) -> dict[str, Any]:
    """The config; what directories of earlier versions lack only if it is given."""
    stated = asdict(config)
    if config.selection is not None and config.selection.steps is None:
        del stated["selection"]["steps"]
    return stated


def _table(trials: list[dict[str, Any]]) -> pd.DataFrame:
    """A line per trial; of budgets that are not all numbers, `rows` has the numbers."""
    found = pd.DataFrame(trials)
    if AUTO in set(found["budget"]):
        found["budget"] = found["budget"].astype(str)  # a column holds numbers or words
    return found
