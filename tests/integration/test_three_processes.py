"""Three processes run one command on one directory at once: docs/faults.md, "Several at once"."""

from __future__ import annotations

import re
import shutil

import pytest
from stages import STAGES, differences, make_inputs, results

from airrep.disk.temporary import leftovers
from curate.verification import verify

# A command that waits, with everything imported, until all three are there.
COMMAND = """
    import sys, time
    from pathlib import Path
    import airrep.gradients.moments, airrep.store, curate.cli, eval_harness.runs.jobs
    airrep.gradients.moments._MOST_DRAWS = 4
    airrep.store._SHARD_ROWS = 8
    eval_harness.runs.jobs._PATIENCE = 0.05
    waiting, all_there = Path(sys.argv.pop(1)), int(sys.argv.pop(1))
    waiting.mkdir(exist_ok=True)
    (waiting / sys.argv.pop(1)).touch()
    while len(list(waiting.iterdir())) < all_there: time.sleep(0.001)
    sys.exit(curate.cli.main(sys.argv[1:]))
"""
REFUSED = "another run is adding to this store; wait until it is done, or use another directory."
MAY_BE_REFUSED = {"embed", "select"}  # what adds to a store
KNOWN_TO_VERIFY = {"embed", "record", "select", "benchmark", "train", "demo"}


@pytest.fixture(scope="module")
def at_once(program, tmp_path_factory):
    """Run a command to its end in so many processes, which begin together; returns them."""

    def run(command, count=3):
        gate = tmp_path_factory.mktemp("gate") / "waiting"
        started = [program(COMMAND, gate, count, number, *command) for number in range(count)]
        for process in started:
            process.wait()
        return started

    return run


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, tiny_lm):
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(folder, tiny_lm)
    return folder


@pytest.fixture(scope="module")
def alone(at_once, inputs, tmp_path_factory):
    """The place where one process ran a command, once for all tests."""
    places = {}

    def run(name):
        if name not in places:
            places[name] = tmp_path_factory.mktemp(f"alone-{name}")
            if name == "report":
                shutil.copytree(run("select") / STAGES["select"].output, inputs / "chosen")
            (process,) = at_once(STAGES[name].command(inputs, places[name]), 1)
            assert process.poll() == 0, process.stderr
        return places[name]

    return run


def check(name, processes, expected, place, refused):
    """At least one ended well; what is there is whole, and what one process alone makes."""
    for process in processes:
        if process.poll() != 0:
            assert refused, process.stderr
            assert REFUSED in process.stderr
            assert "Traceback" not in process.stderr
    assert any(process.poll() == 0 for process in processes)
    assert differences(results(expected), results(place)) == []
    if name in KNOWN_TO_VERIFY:
        assert verify(place).findings == []
    directories = [place, *(each for each in place.rglob("*") if each.is_dir())]
    assert [left for each in directories for left in leftovers(each)] == []


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n != "embed")) for n in STAGES]
)
def test_three_at_once_end_as_one_does(at_once, alone, inputs, tmp_path, name):
    expected, command = alone(name), STAGES[name].command(inputs, tmp_path)
    check(name, at_once(command), expected, tmp_path, refused=name in MAY_BE_REFUSED)
    # Once more, on what is there: nothing is to be added to a store, and all write the results.
    check(name, at_once(command), expected, tmp_path, refused=False)


@pytest.mark.slow
def test_three_at_once_score_the_same_runs(at_once, alone, inputs):
    runs = alone("record") / STAGES["record"].output
    command = [
        "lds", "--runs", f"{runs}", "--pool", f"{inputs}/pool.jsonl",
        "--evaluation", f"{inputs}/test.jsonl", "--scorer", "tfidf", "--draws", "50",
    ]  # fmt: skip
    before = results(runs)
    three = at_once(command)
    assert [process.poll() for process in three] == [0, 0, 0], three[0].stderr
    # what it took is each process's own
    assert len({re.sub(r"[0-9.]+ ms a row", "", process.stdout) for process in three}) == 1
    assert "LDS" in three[0].stdout
    assert differences(results(runs), before) == []
