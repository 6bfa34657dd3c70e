"""The pool and the targets: rows of all families, and rows that no pool contains.

The two never meet because the prompt itself decides which side it belongs to: a stable digest of
its text sets about a fifth of all possible prompts aside for targets. No list of used rows has to
be kept, and the split is the same for every seed, size and process.
"""

from __future__ import annotations

import hashlib
import random

from airrep.console.wording import counted
from airrep.errors import ArgumentError
from curate.demo_data.tasks.arithmetic_tasks import ARITHMETIC_TASKS
from curate.demo_data.tasks.code_tasks import CODE_TASKS
from curate.demo_data.tasks.data_tasks import DATA_TASKS
from curate.demo_data.tasks.language_tasks import LANGUAGE_TASKS
from curate.demo_data.tasks.practical_tasks import PRACTICAL_TASKS
from curate.demo_data.tasks.puzzle_tasks import PUZZLE_TASKS
from curate.demo_data.tasks.reasoning_tasks import REASONING_TASKS
from curate.demo_data.tasks.text_tasks import TEXT_TASKS
from curate.demo_data.tasks.translation_tasks import TRANSLATION_TASKS
from curate.demo_data.wording import TaskFamily

TASKS: dict[str, TaskFamily] = {
    **TEXT_TASKS,
    **LANGUAGE_TASKS,
    **TRANSLATION_TASKS,
    **ARITHMETIC_TASKS,
    **REASONING_TASKS,
    **PUZZLE_TASKS,
    **DATA_TASKS,
    **CODE_TASKS,
    **PRACTICAL_TASKS,
}
"""Every task family by name, in the order of its module."""

POOL_ROWS_PER_TASK = 1000
"""How many pool rows each family is known to supply without repeating a prompt."""

TARGET_ROWS = 200
"""How many target rows each family is known to supply without repeating a prompt."""


def demo_pool(rows: int = 3000, seed: int = 0) -> list[dict[str, str]]:
    """Write a shuffled pool of ``prompt``, ``completion`` and ``task`` rows.

    The families have equal shares, up to one row. No two rows have the same prompt. The pool
    depends on ``rows`` and ``seed`` alone.

    Raises:
        ArgumentError: if ``rows`` is below 1 or above what the families supply without repetition.

    Example:
        >>> sorted(demo_pool(3)[0])
        ['completion', 'prompt', 'task']
    """
    _check_rows("a demo pool", rows, POOL_ROWS_PER_TASK * len(TASKS))
    rng = random.Random(f"demo pool {seed}")
    share, rest = divmod(rows, len(TASKS))
    larger_shares = rng.sample(list(TASKS), rest)
    pool = [
        row
        for task in TASKS
        for row in _draw(task, share + (task in larger_shares), f"pool {seed} {task}", False)
    ]
    rng.shuffle(pool)
    return pool


def demo_targets(task: str, rows: int = 10, seed: int = 0) -> list[dict[str, str]]:
    """Write rows of one task whose prompts occur in no demo pool, whatever its size and seed.

    Raises:
        ArgumentError: if the task does not exist, or if ``rows`` is below 1 or above what a family
            supplies without repetition.

    Example:
        >>> [row["task"] for row in demo_targets("email_reply", 2)]
        ['email_reply', 'email_reply']
    """
    if task not in TASKS:
        raise ArgumentError(f"unknown demo task {task!r}; the tasks are {', '.join(TASKS)}")
    _check_rows("a list of demo targets", rows, TARGET_ROWS)
    return _draw(task, rows, f"targets {seed} {task}", True)


def _check_rows(what: str, rows: int, most: int) -> None:
    if not 1 <= rows <= most:
        raise ArgumentError(
            f"{what} has between 1 and {counted(most, 'row')}, but {rows} were asked for"
        )


def _draw(task: str, rows: int, stream: str, for_targets: bool) -> list[dict[str, str]]:
    """Draw rows with different prompts from one side of the split.

    Every task has a random stream of its own, named by a string: seeding with text is stable
    across processes, and one family's draws cannot shift another's.
    """
    rng = random.Random(stream)
    drawn: dict[str, dict[str, str]] = {}
    while len(drawn) < rows:
        prompt, completion = TASKS[task](rng)
        if _is_for_targets(prompt) == for_targets:
            drawn.setdefault(prompt, {"prompt": prompt, "completion": completion, "task": task})
    return list(drawn.values())


def _is_for_targets(prompt: str) -> bool:
    return hashlib.sha256(prompt.encode()).digest()[0] % 5 == 0
