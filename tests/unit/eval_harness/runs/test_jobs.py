import os
import signal
import subprocess
import sys
import threading
from collections import Counter

import pytest

from airrep.errors import OutputError
from eval_harness.runs import jobs
from eval_harness.runs.jobs import take_jobs

JOBS = [f"job-{i}" for i in range(30)]
HOLD = """
import sys, time
from pathlib import Path
from eval_harness.runs.jobs import take_jobs
for job in take_jobs(Path(sys.argv[1]), sys.argv[2:], lambda job: False):
    print(job, flush=True)
    time.sleep(600)
"""
WORK = """
import sys, time
from pathlib import Path
from eval_harness.runs.jobs import take_jobs
home = Path(sys.argv[1])
for job in take_jobs(home, sys.argv[2:], lambda job: (home / job).exists()):
    print(job, flush=True)
    time.sleep(0.01)
    (home / job).touch()
"""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(jobs, "_PATIENCE", 0.01)


def start(script, home, *names):
    return subprocess.Popen(
        [sys.executable, "-c", script, str(home), *names], stdout=subprocess.PIPE, text=True
    )


def test_one_process_does_them_in_order(tmp_path):
    seen = []
    for job in take_jobs(tmp_path, JOBS, seen.__contains__):
        seen.append(job)
    assert seen == JOBS
    assert list(take_jobs(tmp_path, JOBS, seen.__contains__)) == []


def test_threads_share_them(tmp_path):
    taken, done, at_work = [], set(), Counter()
    everyone = threading.Barrier(4)  # nobody's first job is done before each has one

    def work():
        first = True
        for job in take_jobs(tmp_path, JOBS, done.__contains__):
            at_work[job] += 1
            assert at_work[job] == 1
            taken.append((job, threading.get_ident()))
            if first:
                everyone.wait(60)
            first = False
            done.add(job)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread still works, or waits for work, after a minute"
    assert sorted(job for job, _ in taken) == sorted(JOBS)
    assert len({thread for _, thread in taken}) == 4


def test_processes_share_them(tmp_path):
    workers = [start(WORK, tmp_path, *JOBS) for _ in range(2)]
    taken = [worker.communicate(timeout=60)[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sorted(taken[0] + taken[1]) == sorted(JOBS)


def test_a_dead_processs_job_is_taken_by_another(tmp_path):
    other = start(HOLD, tmp_path, "first", "second")
    try:
        assert other.stdout.readline() == "first\n"
        done = set()
        mine = take_jobs(tmp_path, ["first", "second"], done.__contains__)
        assert next(mine) == "second", "the first is being done"
        done.add("second")
        os.kill(other.pid, signal.SIGKILL)
        assert next(mine) == "first"
        done.add("first")
        assert list(mine) == []
    finally:
        other.kill()
        other.communicate()


def test_the_last_job_is_waited_for(tmp_path, wait_until):
    done, asked = {"a"}, []
    mine = take_jobs(tmp_path, ["b"], done.__contains__)
    assert next(mine) == "b"

    def is_done(job):
        asked.append(job)
        return job in done

    waiting = threading.Thread(target=lambda: list(take_jobs(tmp_path, ["a", "b"], is_done)))
    waiting.start()
    wait_until(lambda: asked.count("b") > 3, "another look at the job that is being done", 60)
    assert waiting.is_alive()
    done.add("b")
    mine.close()
    wait_until(lambda: not waiting.is_alive(), "the end of the wait", 60)


def test_a_failed_job_is_free_again(tmp_path):
    def fail():
        for job in take_jobs(tmp_path, ["a"], lambda _: False):
            raise KeyError(job)

    for _ in range(2):
        with pytest.raises(KeyError, match="a"):
            fail()


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / ".locks").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write"):
        list(take_jobs(tmp_path, ["a"], lambda _: False))
