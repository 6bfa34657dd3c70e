"""Work shared by any number of processes, each job done once.

Start the same command as often as there are cores or GPUs: every process takes the next job that
is neither done nor taken. A job is taken by a file lock, which the system drops when the process
dies, so a killed process loses nothing but the job it was at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from airrep.console.progress import announce, bar, counted_by
from airrep.console.wording import counted
from airrep.disk.atomic import check_writable
from airrep.disk.locks import try_lock

_PATIENCE = 0.5  # seconds between looks at jobs that others are doing
Part = TypeVar("Part", bound=Hashable)


def do_jobs(
    directory: Path,
    jobs: Mapping[str, Mapping[Part, int]],
    done: Callable[[Part], bool],
    do: Callable[[str], None],
    *,
    title: str,
    progress: bool,
) -> None:
    """Do the jobs that nobody did or does; ends when all are done, by whomever.

    Args:
        directory: As in `take_jobs`.
        jobs: A job's name to its parts, and the optimizer steps that each part takes.
        done: Whether a part's result is there.
        do: Does the job of this name.
        title: What the parts are ("runs"), for the bar.
        progress: Show a progress bar on standard error.
    """
    steps = {part: count for parts in jobs.values() for part, count in parts.items()}

    def finished() -> tuple[int, str]:
        there = [part for part in steps if done(part)]
        return sum(steps[part] for part in there), f"{len(there):,} of {len(steps):,} {title}"

    reached, note = finished()
    total = sum(steps.values())
    to_do = sum(not done(part) for part in steps)
    announce(
        title,
        f"{to_do:,} of {len(steps):,} to do",
        counted(total - reached, "step of the optimizer", "steps of the optimizer"),
        shown=progress,
    )
    with (
        bar(total, title, "step", done=reached, shown=progress, timed=False) as shown,
        counted_by(shown),
    ):
        shown.note(note)
        taken = take_jobs(directory, list(jobs), lambda name: all(map(done, jobs[name])))
        for number, name in enumerate(taken):
            do(name)
            reached, note = finished()
            shown.note(note)
            shown.reach(reached)
            if number == 0:
                left = sum(not done(part) for part in steps)
                shown.timed(len(jobs[name]), title.removesuffix("s"), left)


def take_jobs(directory: Path, jobs: Sequence[str], done: Callable[[str], bool]) -> Iterator[str]:
    """Yield jobs that are this process's to do; ends when all are done, by whomever.

    A job is held until the next one is asked for.

    Args:
        directory: Where locks live (in `.locks`); shared by all processes.
        jobs: Names that can be file names.
        done: Whether a job's result is there.
    """
    locks = directory / ".locks"
    check_writable(directory)
    check_writable(locks)
    waiting = list(jobs)
    while waiting:
        taken_by_others = []
        for job in waiting:
            if done(job):
                continue
            lock = try_lock(locks / job)
            if lock is None:
                taken_by_others.append(job)
                continue
            try:
                if not done(job):
                    yield job
            finally:
                lock.release()
        waiting = taken_by_others
        if waiting:
            time.sleep(_PATIENCE)
