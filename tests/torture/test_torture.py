"""Faults tried on purpose; `make torture` tries them several hundred times (docs/faults.md)."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("program.py")


def torture(inputs, work, plan):
    """Run the program; returns what it printed, and its tallies."""
    alone = ["unshare", "--mount"]
    may_mount = shutil.which("unshare") is not None and (
        subprocess.run([*alone, "true"], capture_output=True).returncode == 0
    )
    command = [sys.executable, str(PROGRAM), str(inputs), str(work), "--plan", plan]
    done = subprocess.run(
        [*alone, *command] if may_mount else command, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
    )  # fmt: skip
    return done, json.loads((work / "tallies.json").read_text())


def check(done, found):
    lost = [line for tally in found["tallies"] for line in tally["lost"]]
    assert lost == []
    assert done.returncode == 0, done.stdout
    tried = {(tally["fault"], tally["stage"]): tally["tried"] for tally in found["tallies"]}
    assert all(tried.values()), "every fault happened"
    assert {"embed", "record", "select", "report", "benchmark", "train"} == {
        stage for fault, stage in tried if fault == "SIGKILL"
    }
    if not found["mounts"]:
        pytest.skip("no full disk and no read-only file system: mount is not permitted here")


def test_nothing_is_lost(inputs, tmp_path):
    check(*torture(inputs, tmp_path, "quick"))


@pytest.mark.torture
@pytest.mark.skipif("TORTURE" not in os.environ, reason="takes minutes: make torture")
def test_nothing_is_lost_however_often(inputs, tmp_path):
    done, found = torture(inputs, tmp_path, "full")
    sys.stdout.write(done.stdout)
    check(done, found)
