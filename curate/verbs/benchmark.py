"""The verb `benchmark`: files and a config in, measured comparisons out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airrep.errors import ArgumentError
from curate.configs.files import load_config
from curate.rows.io import read_rows
from curate.stages.destination import check_apart

if TYPE_CHECKING:
    from eval_harness.benchmark.problems import Rows
    from eval_harness.benchmark.run import BenchmarkResult

PATHS = ("model", "pool", "targets", "test", "methods.*.encoder")


def benchmark(
    config: str | Path | Mapping[str, Any], output: str | Path, *, progress: bool = False
) -> BenchmarkResult:
    """Compare methods by what fine-tuning on their selections does, with intervals.

    Finished runs are kept: the same command goes on where it stopped, and several at once share
    the work.

    Args:
        config: YAML file (or its content as a mapping): model, pool, targets, test, recipe,
            methods and the parts attribution and selection. Paths in a file are relative to it.
            docs/evidence.md has every setting.
        output: Directory for runs, scores and results.
        progress: Show progress bars.

    Returns:
        The results, as written to OUTPUT: attribution.parquet, trials.parquet, results.md, plots.

    Raises:
        CurateError: One of its kinds (see `airrep.errors`), with what to do about it.

    Example:
        >>> import curate
        >>> curate.benchmark("benchmark.yaml", "results")  # doctest: +SKIP
    """
    from eval_harness.benchmark.config import read_config  # here, because it brings torch
    from eval_harness.benchmark.run import run_benchmark

    parsed = read_config(load_config(config, PATHS))
    encoders = {
        f"methods.{name}.encoder": options.get("encoder")
        for name, options in parsed.methods.items()
    }
    given = {name: getattr(parsed, name) for name in ("model", "pool", "targets", "test")}
    check_apart(output, given | encoders)
    pool, targets, test = (
        _rows(getattr(parsed, name), name, parsed.columns, parsed.template_field)
        for name in ("pool", "targets", "test")
    )
    return run_benchmark(parsed, pool, targets, test, output, progress=progress)


def _rows(
    source: str, name: str, columns: Mapping[str, str] | None, template_field: str | None
) -> Rows:
    from eval_harness.benchmark.problems import Rows

    read = read_rows(source, name)
    examples = list(read.examples(columns).examples)
    if template_field is None:
        return Rows(examples, [""] * len(examples))
    if template_field not in read.dataset.column_names:
        raise ArgumentError(
            f"{name}: there is no field {template_field!r} (template_field); found "
            f"{', '.join(read.dataset.column_names)}."
        )
    templates = read.dataset[template_field]
    return Rows(examples, [str(templates[e.row]) for e in examples])
