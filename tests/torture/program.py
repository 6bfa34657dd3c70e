"""Faults tried on purpose: `python tests/torture/program.py INPUTS WORK --plan quick|full`.

Under `unshare --mount`, so that what it mounts is its own. Prints a table, and JSON to WORK.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import faults
from bench import Bench, Tally
from children import import_everything

QUICK = {
    faults.kills: {"embed": 4, "record": 3, "select": 2, "report": 2, "benchmark": 2, "train": 2},
    faults.power_cuts: {"embed": 2, "record": 1},
    faults.full_disk: {"embed": 1, "record": 1},
    faults.read_only: {"embed": 1},
    faults.damage: {"embed": 3, "record": 3},
    faults.worker_dies: {"record": 1},
    faults.two_at_once: {"embed": 1},
    faults.clock: {"record": 1},
}
FULL = {
    faults.kills: {
        "embed": 80, "record": 60, "select": 50, "report": 20, "benchmark": 50, "train": 50,
    },
    faults.power_cuts: {
        "embed": 40, "record": 40, "select": 30, "report": 10, "benchmark": 40, "train": 40,
    },
    faults.full_disk: {
        "embed": 8, "record": 8, "select": 6, "benchmark": 6, "train": 5, "report": 2,
    },
    faults.read_only: {
        "embed": 3, "record": 3, "select": 2, "benchmark": 2, "train": 2, "report": 1,
    },
    faults.damage: {"embed": 40, "record": 40, "select": 24, "benchmark": 40, "train": 50},
    faults.worker_dies: {"record": 6, "benchmark": 5, "train": 5},
    faults.two_at_once: {"embed": 5, "record": 3, "benchmark": 2, "train": 2},
    faults.clock: {"embed": 3, "record": 3, "select": 2, "benchmark": 2, "train": 2},
}  # fmt: skip
_AT_ONCE = 3
PLANS = {"quick": QUICK, "full": FULL}
NEED_MOUNTS = (faults.full_disk, faults.read_only)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("inputs", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--plan", choices=PLANS, default="quick")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=900.0, help="begin nothing new then")
    parser.add_argument("--only", help="one fault, by its function's name")
    parser.add_argument("--stage", help="one stage")
    asked = parser.parse_args()
    sys.path.append(str(Path(__file__).parents[1] / "doubles"))  # what pytest has there anyway
    import_everything()
    bench = Bench(asked.inputs.resolve(), asked.work.resolve(), asked.seed)
    mounts = faults.can_mount()
    planned = {
        (fault, stage): count
        for fault, stages in PLANS[asked.plan].items()
        for stage, count in stages.items()
        if (mounts or fault not in NEED_MOUNTS)
        and asked.only in (None, fault.__name__)
        and asked.stage in (None, stage)
    }
    until = time.monotonic() + asked.seconds
    while planned and time.monotonic() < until:
        # In turns, so that everything was tried if the time is up before the plan is done.
        for (fault, stage), count in list(planned.items()):
            now = min(count, _AT_ONCE)
            try_fault(bench, fault, stage, now)
            planned[fault, stage] -= now
            if planned[fault, stage] == 0:
                del planned[fault, stage]
            if time.monotonic() > until:
                break
    tallies = list(bench.tallies.values())
    summary = {"mounts": mounts, "tallies": [vars(tally) for tally in tallies]}
    (bench.work / "tallies.json").write_text(json.dumps(summary))
    say("| fault | command | tried | what happened | lost |\n|---|---|---:|---|---:|")
    for tally in tallies:
        say(line(tally))
    for tally in tallies:
        for lost in tally.lost:
            say(f"LOST {tally.fault}, {tally.stage}: {lost}")
    return int(any(tally.lost for tally in tallies))


def try_fault(bench: Bench, fault: Callable[..., None], stage: str, count: int) -> None:
    """Try it; what the harness itself cannot cope with is lost too."""
    bench.undisturbed(stage)
    lost = {key: len(tally.lost) for key, tally in bench.tallies.items()}
    try:
        fault(bench, stage, count)
    except Exception:
        bench.tally(fault.__name__, stage).lost.append(traceback.format_exc())
    for key, tally in bench.tallies.items():
        for each in tally.lost[lost.get(key, 0) :]:
            say(f"LOST {tally.fault}, {tally.stage}: {each}", sys.stderr)


def line(tally: Tally) -> str:
    """The tally's row of the table."""
    what = ", ".join(f"{count} {name}" for name, count in sorted(tally.outcomes.items()))
    return f"| {tally.fault} | {tally.stage} | {tally.tried} | {what} | {len(tally.lost)} |"


def say(text: str, stream: TextIO = sys.stdout) -> None:
    """Say it now."""
    stream.write(text + "\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
