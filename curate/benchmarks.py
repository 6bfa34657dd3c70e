"""The verb `benchmark`: files and a config in, measured comparisons out."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from jsonargparse import get_loader

from airrep.errors import ArgumentError, FileFormatError, MissingInputError
from curate.io import read_rows

if TYPE_CHECKING:
    from eval_harness.benchmark.problems import Rows
    from eval_harness.benchmark.run import BenchmarkResult

_PATHS = ("model", "pool", "targets", "test")


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
    """
    from eval_harness.benchmark.config import read_config  # here, because it brings torch
    from eval_harness.benchmark.run import run_benchmark

    parsed = read_config(_values(config))
    pool, targets, test = (
        _rows(getattr(parsed, name), name, parsed.columns, parsed.template_field)
        for name in ("pool", "targets", "test")
    )
    return run_benchmark(parsed, pool, targets, test, output, progress=progress)


def _values(config: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """The settings, paths of a file made absolute.

    Raises:
        MissingInputError: There is no such file.
        FileFormatError: It does not hold settings as YAML.
    """
    if isinstance(config, Mapping):
        return dict(config)
    file = Path(config)
    try:
        values = get_loader("yaml")(file.read_text("utf-8"))  # for which 2e-5 is a number
    except OSError as error:
        raise MissingInputError(f"{file}: no such config can be read ({error}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{file}: not YAML ({' '.join(str(error).split())}).") from error
    if not isinstance(values, dict):
        raise FileFormatError(f"{file}: expected settings, found {type(values).__name__}.")
    found = {
        key: _from(file.parent, value) if key in _PATHS else value for key, value in values.items()
    }
    if isinstance(methods := found.get("methods"), dict):
        found["methods"] = {name: _with_encoder(file.parent, m) for name, m in methods.items()}
    return found


def _from(base: Path, value: Any) -> Any:  # noqa: ANN401 (whatever YAML holds)
    """A path or glob that finds something, seen from `base`, made absolute; else as it is."""
    if not isinstance(value, str):
        return value
    path = base / value
    found = path.exists() or glob.glob(str(path), recursive=True)  # noqa: PTH207 (any root)
    return str(path.resolve()) if found else value


def _with_encoder(base: Path, options: Any) -> Any:  # noqa: ANN401 (whatever YAML holds)
    if isinstance(options, dict) and "encoder" in options:
        return {**options, "encoder": _from(base, options["encoder"])}
    return options


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
