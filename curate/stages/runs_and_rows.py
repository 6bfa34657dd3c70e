"""Recorded runs with their rows: those of `record`, or a published benchmark's.

`eval_harness.runs.airrep_files` describes the files of a benchmark.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from airrep.disk.paths import user_path
from airrep.errors import FileFormatError, MissingInputError
from airrep.records import Example
from airrep.supervision import Indices, SubsetLosses, SubsetPlan, example_digests
from curate.rows.io import OnBadRow
from curate.stages.inputs import Input, Source, read_input
from eval_harness.runs.airrep_files import LDS, TEST, TRAIN, read_lds_file

_ON_HUB = re.compile(r"(?P<name>\w[\w.-]*/\w[\w.-]*)(?P<folder>(/\w[\w.-]*)*)/?")


@dataclass(frozen=True, eq=False)
class RunsAndRows:
    """Recorded runs, and the rows that they are of."""

    recorded: SubsetLosses
    pool: list[Example]
    evaluation: list[Example]


def read_runs(
    runs: str | Path,
    pool: Source,
    evaluation: Source,
    columns: Mapping[str, str] | None,
    evaluation_columns: Mapping[str, str] | None,
    on_bad_row: OnBadRow,
) -> RunsAndRows:
    """Read runs of `record` and the rows that they were recorded with; see `curate.lds`.

    Raises:
        CurateError: They cannot be read, or do not belong together.
    """
    recorded = SubsetLosses.load(user_path(runs, "runs"))
    examples = list(read_input(pool, "pool", columns, on_bad_row).examples)
    held_out = list(read_input(evaluation, "evaluation", evaluation_columns, on_bad_row).examples)
    recorded.plan.check(examples, held_out)
    return RunsAndRows(recorded, examples, held_out)


def read_lds_benchmark(
    name: str | Path,
    columns: Mapping[str, str] | None,
    evaluation_columns: Mapping[str, str] | None,
    on_bad_row: OnBadRow,
) -> RunsAndRows:
    """Read a benchmark.

    Args:
        name: Directory, or id of a data set on the hub and the folder in it: owner/name/folder.
        columns: For train.jsonl; see `curate.lds`.
        evaluation_columns: For test.jsonl.
        on_bad_row: With "skip" rows that cannot be read are left out of the subsets, and their
            losses are left out.

    Raises:
        CurateError: A file is not there or not what it should be, or a row cannot be read.
    """
    directory = _directory(name)
    for wanted in (TRAIN, TEST, LDS):
        if not (directory / wanted).is_file():
            raise MissingInputError(
                f"benchmark {str(name)!r} holds no {wanted}; expected {TRAIN}, {TEST} and {LDS}",
                where=directory,
            )
    pool = read_input(directory / TRAIN, "pool", columns, on_bad_row)
    tested = read_input(directory / TEST, "evaluation", evaluation_columns, on_bad_row)
    file = directory / LDS
    subsets, losses = read_lds_file(file, len(pool.rows.dataset), len(tested.rows.dataset))
    kept = [_usable(pool, subset) for subset in subsets]
    for number, subset in enumerate(kept):
        if not len(subset):
            problem = f"no row of subset {number} (counting from 0) can be read"
            raise FileFormatError(problem, where=file)
    examples, held_out = list(pool.examples), list(tested.examples)
    plan = SubsetPlan(
        kept,
        ["published"] * len(kept),
        1,
        0,
        {"test": np.arange(len(held_out))},
        example_digests(examples),
        example_digests(held_out),
    )
    values = losses[:, None, tested.examples.rows]
    recorded = SubsetLosses(plan, values, {}, np.zeros((len(kept), 1)))
    return RunsAndRows(recorded, examples, held_out)


def _usable(pool: Input, subset: Indices) -> Indices:
    """Positions of a subset's rows among the examples; unreadable ones are left out."""
    places = np.full(len(pool.rows.dataset), -1, dtype=np.int64)
    places[pool.examples.rows] = np.arange(len(pool.examples))
    found = places[subset]
    return found[found >= 0]


def _directory(name: str | Path) -> Path:
    """The benchmark's directory; of one on the hub, the three files are downloaded."""
    path, text = user_path(name, "benchmark"), str(name)
    if path.is_dir():
        return path
    match = _ON_HUB.fullmatch(text)
    if match is None or path.exists():
        raise MissingInputError(
            f"benchmark {text!r} is not a directory, nor named as one on the hub is: "
            "owner/name/folder."
        )
    from huggingface_hub import snapshot_download  # here, because it takes a while

    folder = match["folder"].strip("/")
    wanted = [f"{folder}/{file}".lstrip("/") for file in (TRAIN, TEST, LDS)]
    try:
        found = snapshot_download(match["name"], repo_type="dataset", allow_patterns=wanted)
    except Exception as error:  # what the hub and its HTTP client raise varies by version
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise MissingInputError(
            f"benchmark {text!r} is not a directory, and the data set {match['name']!r} could not "
            f"be downloaded from the hub ({type(error).__name__}: {reason})",
            remedy="Name a directory that holds the files, or run this where there is a network",
        ) from error
    return Path(found) / folder
