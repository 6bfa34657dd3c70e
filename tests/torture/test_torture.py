"""Faults tried on purpose; `make torture` tries them several hundred times (docs/faults.md)."""

import json
import os
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("program.py")
# With mounts of its own, as after `unshare --mount`, where that is permitted.
ALONE = """
    import ctypes, os, runpy, sys

    library = ctypes.CDLL(None)
    if hasattr(library, "unshare"):  # on Linux
        library.unshare(0x00020000)  # CLONE_NEWNS
    sys.argv = sys.argv[1:]
    sys.path.insert(0, os.path.dirname(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


def torture(program, inputs, work, plan):
    """Run the program; returns it, and its tallies."""
    variables = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = program(ALONE, PROGRAM, inputs, work, "--plan", plan, **variables)
    done.wait(3600)
    assert (work / "tallies.json").exists(), done.stderr
    return done, json.loads((work / "tallies.json").read_text())


def check(done, found):
    lost = [line for tally in found["tallies"] for line in tally["lost"]]
    assert lost == []
    assert done.wait() == 0, done.stdout
    tried = {(tally["fault"], tally["stage"]): tally["tried"] for tally in found["tallies"]}
    assert all(tried.values()), "every fault happened"
    assert {"embed", "record", "select", "report", "benchmark", "train"} == {
        stage for fault, stage in tried if fault == "SIGKILL"
    }
    if not found["mounts"]:
        pytest.skip("no full disk and no read-only file system: mount is not permitted here")


@pytest.mark.slow
def test_nothing_is_lost(program, inputs, tmp_path):
    check(*torture(program, inputs, tmp_path, "quick"))


@pytest.mark.torture
@pytest.mark.skipif("TORTURE" not in os.environ, reason="takes minutes: make torture")
def test_nothing_is_lost_however_often(program, inputs, tmp_path):
    done, found = torture(program, inputs, tmp_path, "full")
    sys.stdout.write(done.stdout)
    check(done, found)
