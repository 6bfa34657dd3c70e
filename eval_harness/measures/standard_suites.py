"""Public benchmarks (MMLU, BBH, …) through EleutherAI's lm-evaluation-harness, an optional extra.

Its tasks bring their own data, prompts and metrics; `accuracy` judges the user's own rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from airrep.disk.paths import user_path
from airrep.errors import ArgumentError, MissingInputError
from airrep.machine.extras import import_extra
from airrep.machine.hardware import default_device


def lm_eval_tasks(
    model_directory: str | Path,
    tasks: Sequence[str],
    *,
    limit: int | None = None,
    num_fewshot: int | None = None,
    batch_size: int | str = 8,
    seed: int = 0,
    include_path: str | Path | None = None,
    device: str | None = None,
) -> dict[str, dict[str, float]]:
    """Run tasks of lm-evaluation-harness on a saved model.

    Args:
        model_directory: What `fine_tune` wrote.
        tasks: Names of tasks or groups, as `lm_eval ls tasks` lists them.
        limit: Only so many documents of each task; for trials.
        num_fewshot: Examples before each question; default what the task says.
        batch_size: Questions at a time, or "auto".
        seed: Seed of everything random: few-shot examples, and the harness's own generators.
        include_path: Directory of task files of your own (YAML), beside those of the harness.
        device: Where to compute; default the GPU if there is one, else the CPU.

    Returns:
        Of each task and group: its metrics by name ("acc", "acc_norm", "exact_match,strict-match",
        "acc_stderr", …; the filter is named where there is one).

    Raises:
        ArgumentError: The extra is not installed, no tasks, or a task that is not known.
        MissingInputError: No such directory.

    Example:
        >>> lm_eval_tasks("model", ["boolq"], limit=100)  # doctest: +SKIP
        {'boolq': {'acc': 0.62, 'acc_stderr': 0.05}}
    """
    if isinstance(tasks, str) or not tasks:
        raise ArgumentError(f"tasks: expected a list of names, found {tasks!r}.")
    model_directory = user_path(model_directory, "model_directory")
    if not model_directory.is_dir():
        raise MissingInputError(f"model {str(model_directory)!r} is not a directory.")
    harness, registry = (
        import_extra(name, package="lm-eval", extra="lm-eval", purpose="a public benchmark")
        for name in ("lm_eval", "lm_eval.tasks")
    )
    own = None if include_path is None else str(user_path(include_path, "include_path"))
    manager = registry.TaskManager(include_path=own)
    unknown = sorted(set(tasks) - set(manager.all_tasks))
    if unknown:
        raise ArgumentError(f"tasks: lm-evaluation-harness does not know {', '.join(unknown)}.")
    outcome = harness.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(model_directory), "trust_remote_code": False},
        tasks=list(tasks),
        num_fewshot=num_fewshot,
        batch_size=batch_size,
        device=device or str(default_device()),
        limit=limit,
        task_manager=manager,
        log_samples=False,
        random_seed=seed,
        numpy_random_seed=seed,
        torch_random_seed=seed,
        fewshot_random_seed=seed,
    )
    return {name: _metrics(found) for name, found in outcome["results"].items()}


def _metrics(found: Mapping[str, object]) -> dict[str, float]:
    """The numbers of a task's result, which also holds its alias and sample counts."""
    return {
        name.removesuffix(",none"): float(value)
        for name, value in found.items()
        if "," in name and isinstance(value, (int, float))
    }
