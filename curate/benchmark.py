"""The verb `benchmark`: files and a config in, measured comparisons out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from airrep.errors import ArgumentError, FileFormatError, MissingInputError
from curate.io import read_rows

if TYPE_CHECKING:
    from eval_harness.benchmark.problems import Rows
    from eval_harness.benchmark.run import BenchmarkResult


def benchmark(
    config: str | Path | Mapping[str, Any], output: str | Path, *, progress: bool = False
) -> BenchmarkResult:
    """Compare methods by what fine-tuning on their selections does, with intervals.

    Finished runs are kept: the same command goes on where it stopped, and several at once share
    the work.

    Args:
        config: YAML file (or its content as a mapping): model, pool, targets, test, recipe,
            methods and the parts attribution and selection. Paths in a file are relative to it.
            docs/evidence.md explains every setting.
        output: Directory for runs, scores and results.
        progress: Show progress bars.

    Returns:
        The results, as written to OUTPUT: attribution.parquet, trials.parquet, results.md, plots.

    Raises:
        CurateError: One of its kinds (see `airrep.errors`), with what to do about it.
    """
    from eval_harness.benchmark.config import read_config  # here, because it brings torch
    from eval_harness.benchmark.run import run_benchmark

    values, base = _values(config)
    for key in ("model", "pool", "targets", "test"):
        value = values.get(key)
        if isinstance(value, str) and base is not None and (base / value).exists():
            values[key] = str((base / value).resolve())
    parsed = read_config(values)
    pool, targets, test = (
        _rows(getattr(parsed, name), name, parsed.columns, parsed.template_field)
        for name in ("pool", "targets", "test")
    )
    return run_benchmark(parsed, pool, targets, test, output, progress=progress)


def _values(config: str | Path | Mapping[str, Any]) -> tuple[dict[str, Any], Path | None]:
    if isinstance(config, Mapping):
        return dict(config), None
    file = Path(config)
    try:
        values = yaml.safe_load(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise MissingInputError(f"{file}: there is no such config.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{file}: not YAML ({' '.join(str(error).split())}).") from error
    if not isinstance(values, dict):
        raise FileFormatError(f"{file}: expected settings, found {type(values).__name__}.")
    return values, file.parent


def _rows(
    source: str, name: str, columns: Mapping[str, str] | None, template_field: str | None
) -> Rows:
    from eval_harness.benchmark.problems import Rows

    read = read_rows(source, name)
    examples, _ = read.examples(columns, "error")
    if template_field is None:
        return Rows(examples, [""] * len(examples))
    if template_field not in read.dataset.column_names:
        raise ArgumentError(
            f"{name}: there is no field {template_field!r} (template_field); found "
            f"{', '.join(read.dataset.column_names)}."
        )
    templates = read.dataset[template_field]
    return Rows(examples, [str(templates[e.row]) for e in examples])
