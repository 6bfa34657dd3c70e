"""The verb `train`: a pool, targets and a language model in, a tested encoder out."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.configs.files import load_config
from curate.rows.io import read_rows
from curate.stages.destination import check_apart

if TYPE_CHECKING:
    from airrep.records import Example
    from eval_harness.encoder_training.config import EncoderTrainingConfig
    from eval_harness.encoder_training.run import TrainedEncoder


def train(
    config: str | Path | Mapping[str, Any], output: str | Path, *, progress: bool = False
) -> TrainedEncoder:
    """Train an encoder that foresees what fine-tuning a model of yours does, and test it.

    Finished runs are kept: the same command goes on where it stopped, and several at once share
    the runs.

    Args:
        config: YAML file (or its content as a mapping): model, pool, targets, recipe, supervision,
            encoder, training, teacher and evaluation; or recorded, for runs that are there already.
            Paths in a file are relative to it. docs/training.md has every setting.
        output: Directory for runs, the encoder (OUTPUT/encoder) and results.
        progress: Show progress bars.

    Returns:
        Where the encoder is, and its results, as written to OUTPUT/results.md.

    Raises:
        CurateError: One of its kinds (see `airrep.errors`), with what to do about it.

    Example:
        >>> import curate
        >>> curate.train("train.yaml", "trained")  # doctest: +SKIP
    """
    from eval_harness.encoder_training.run import train_and_test  # here, because it brings torch

    parsed, rows, pool_rows = _read(config)
    recorded = parsed.recorded
    named = {} if recorded is None else {"index": recorded.index, "losses": recorded.losses}
    check_apart(output, {**_sources(parsed), "model": parsed.model, **named})
    return train_and_test(parsed, rows, output, pool_rows=pool_rows, progress=progress)


def read_training(
    config: str | Path | Mapping[str, Any],
) -> tuple[EncoderTrainingConfig, dict[str, list[Example]]]:
    """A config as `train` takes it, and the rows of the files that it names.

    Raises:
        CurateError: One of its kinds; see `train`.
    """
    return _read(config)[:2]


def _read(
    config: str | Path | Mapping[str, Any],
) -> tuple[EncoderTrainingConfig, dict[str, list[Example]], int]:
    """The same, and how many rows the pool has, whether they can be used or not."""
    from eval_harness.encoder_training.config import (  # here, because it brings torch
        BUILT_IN,
        PATHS,
        EncoderTrainingConfig,
    )
    from eval_harness.files.settings import read_settings

    parsed = read_settings(EncoderTrainingConfig, load_config(config, PATHS, [BUILT_IN]))
    on_bad_row = "error" if parsed.recorded is None else parsed.recorded.on_bad_row
    rows = {name: read_rows(file, name, on_bad_row) for name, file in _sources(parsed).items()}
    files = {
        name: list(each.examples(parsed.columns, on_bad_row).examples)
        for name, each in rows.items()
    }
    return parsed, files, len(rows["pool"].dataset)


def _sources(parsed: EncoderTrainingConfig) -> dict[str, str]:
    """The rows that a config names, by their settings."""
    from eval_harness.encoder_training.rows import FILES  # here, because it brings torch

    named = {name: attrgetter(name)(parsed) for name in FILES}
    return {name: source for name, source in named.items() if source is not None}
