"""Work shared by any number of processes, each job done once.

Start the same command as often as there are cores or GPUs: every process takes the next job that
is neither done nor taken. A job is taken by a file lock, which the system drops when the process
dies, so a killed process loses nothing but the job it was at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from airrep.disk.atomic import check_writable
from airrep.disk.locks import try_lock

_PATIENCE = 0.5  # seconds between looks at jobs that others are doing


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
