"""The demonstration: one pool with known tasks, a few targets of one task, every selector."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airrep.console.wording import counted, shortened
from airrep.disk.atomic import atomic_file
from airrep.disk.locks import locked
from airrep.disk.paths import not_ours, user_path
from airrep.errors import ArgumentError
from airrep.machine.arguments import check_seed
from airrep.records import Example, normalize
from airrep.store import EmbeddingStore
from curate.demo_data import TASKS, demo_pool, demo_targets
from curate.report.wording import table
from curate.stages.scorer_choice import load_encoder
from curate.training_set import TrainingSet
from curate.verbs.select import select
from eval_harness.measures.precision import source_precision
from selection.capabilities import SelectorCapabilities
from selection.scorers import EmbeddingScorer, TfidfScorer
from selection.selectors import SELECTORS, make_selector

_WIDTH = 60  # of a text that is shown


@dataclass(frozen=True)
class Demo:
    """What the demonstration made.

    Attributes:
        chosen: The training set for the one task.
        precision: (scorer, selector) -> share of picks of the right task, mean over all tasks.
        text: All of it, to read.
    """

    chosen: TrainingSet
    precision: dict[tuple[str, str], float]
    text: str

    def __str__(self) -> str:
        return self.text


def demo(
    output: str | Path = "curate-demo",
    *,
    task: str = "dialogue_summary",
    rows: int = 3000,
    k: int = 50,
    targets: int = 10,
    seed: int = 0,
    progress: bool = False,
) -> Demo:
    """Select from a made-up pool of many tasks, and show how well the picks match the targets.

    Args:
        output: Directory for the pool, the targets and the selection.
        task: The task whose targets are written and selected for.
        rows: Size of the pool.
        k: Rows to choose for each task.
        targets: Targets of each task.
        seed: Seed of the pool and the targets.
        progress: Show progress bars.

    Returns:
        The selection for `task`, and the precision of every selector over all tasks.

    Raises:
        ArgumentError: The task is unknown, or a size cannot be had.
        OutputError: The directory holds another pool or other targets.
    """
    if task not in TASKS:
        raise ArgumentError(f"task {task!r} is unknown; choose from {', '.join(TASKS)}.")
    check_seed(seed)
    directory = user_path(output, "output")
    pool, asked = demo_pool(rows, seed), demo_targets(task, targets, seed)
    made = {directory / "pool.jsonl": _lines(pool), directory / "targets.jsonl": _lines(asked)}
    _check_own(made)
    encoder = load_encoder(None)
    with locked(directory / ".lock"):  # of two at once, the later is there as a whole
        _check_own(made)
        for file, text in made.items():
            with atomic_file(file) as temporary:
                temporary.write_text(text, "utf-8")
        place = directory / "selection"
        chosen = select(
            directory / "pool.jsonl",
            directory / "targets.jsonl",
            k,
            encoder=encoder,
            output=place,
            seed=seed,
            progress=progress,
        )
        scorer = EmbeddingScorer(encoder, EmbeddingStore(place / "embeddings"))
        left = [normalize(pool[i], index=i) for i in chosen.insight.rows.tolist()]
        precision = _precision(left, k, targets, seed, scorer)
    return Demo(chosen, precision, _describe(directory, chosen, precision, k))


def _check_own(made: Mapping[Path, str]) -> None:
    """Refuse to write files where others stand.

    Raises:
        OutputError: One of them holds something else.
    """
    for file, text in made.items():
        if os.path.lexists(file) and not _holds(file, text):
            raise not_ours(file)


def _precision(
    pool: list[Example], k: int, targets: int, seed: int, encoder_scorer: EmbeddingScorer
) -> dict[tuple[str, str], float]:
    """Mean over tasks of the share of right picks, for every scorer and selector."""
    wanted = [
        normalize(row, index=i, origin=task)
        for task in TASKS
        for i, row in enumerate(demo_targets(task, targets, seed))
    ]
    found: dict[tuple[str, str], float] = {}
    for scorer in (encoder_scorer, TfidfScorer()):
        values = scorer.score(wanted, pool).held()
        for name in SELECTORS:
            if (
                SelectorCapabilities.of(make_selector(name)).needs_embeddings
                and not values.embeddings
            ):
                continue
            shares = []
            for number, task in enumerate(TASKS):
                scores = values.for_targets(range(number * targets, (number + 1) * targets))
                selection = make_selector(name, seed=seed + number).select(scores, k)
                shares.append(source_precision(selection, pool, [task]))
            found[scorer.name, name] = sum(shares) / len(shares)
    return found


def _describe(
    directory: Path, chosen: TrainingSet, precision: dict[tuple[str, str], float], k: int
) -> str:
    scorers = list(dict.fromkeys(scorer for scorer, _ in precision))
    lines = [
        chosen.summary(),
        "",
        f"share of {counted(k, 'chosen row')} of the targets' task, mean over "
        f"{counted(len(TASKS), 'task')}",
        *table(
            ("selector", *scorers),
            [
                (name, *(_share(precision.get((scorer, name))) for scorer in scorers))
                for name in SELECTORS
            ],
        ),
        "",
        "the first rows",
        *(
            f"  {number + 1}. [{row['task']}] {shortened(row['prompt'], _WIDTH)} → "
            f"{shortened(row['completion'], _WIDTH)}"
            for number, row in enumerate(chosen.dataset.select(range(min(3, len(chosen)))))
        ),
        "",
        f"wrote   {directory}/pool.jsonl, {directory}/targets.jsonl and {directory}/selection/",
    ]
    return "\n".join(lines)


def _share(found: float | None) -> str:
    """A share, or a dash where a selector cannot use the scores."""
    return "–" if found is None else f"{found:.3f}"


def _lines(rows: Sequence[dict[str, str]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _holds(file: Path, text: str) -> bool:
    """Whether an earlier demonstration, with the same arguments, wrote the file."""
    return file.is_file() and file.read_bytes() == text.encode()
